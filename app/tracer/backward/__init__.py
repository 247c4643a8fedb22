"""Record a pass: the graph that it walks, the gradient on each edge, and how it failed."""
