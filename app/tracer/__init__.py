"""Record autograd in the process where a program runs: the only place that imports torch."""
