"""Show a graph of any size as a map: a tree of groups, of which a view opens a few.

The operations of a graph are put into forward order. Every group is an interval of that order: a call of a module, a loop, one
turn of a loop, a repeated structure, a statement, or a part. Groups therefore nest, and the edges between groups form no cycle.
A group that a view shows closed is a **box**. A **call frame** is a call of a module, a loop or one turn of it, around the
operations that were made in it.
"""
