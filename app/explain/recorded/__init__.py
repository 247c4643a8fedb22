"""Read a recording for the rules: exceptions, gradients of layers, graphs of passes, calls of closures, the origin of a NaN."""
