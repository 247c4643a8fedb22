"""Show a graph of any size as a map: a tree of groups, of which a view opens a few.

The operations of a graph are put into forward order. Every group is an interval of that order: a call of a module, a loop, a
turn of it, a repeated structure, a statement, or a part. Groups therefore nest, and edges summed between groups form no cycle.
"""
