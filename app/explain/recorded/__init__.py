"""Read a recording for the rules: exceptions, gradients of layers, graphs of passes, the origin of a NaN."""
