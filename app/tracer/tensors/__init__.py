"""Read tensors: what torch knows one by, its elements or their statistics, and the columns that cross the wire."""
