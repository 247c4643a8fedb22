"""Read tensors: their identity, elements and statistics, and the columns that cross the wire."""
