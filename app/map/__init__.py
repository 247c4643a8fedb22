"""Show a graph of any size as a map: a tree of groups, of which a view opens a few.

The operations of a graph are put into forward order. Every group is an interval of that order: a call of a module, a loop, one
turn of a loop, a repeated structure, a statement, or a part. Groups therefore nest, and the edges between groups form no cycle.
"""
