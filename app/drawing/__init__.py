"""Draw a graph and the numbers of a pass as SVG, PNG, PDF, DOT or a text description."""
