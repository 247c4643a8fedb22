"""Write and apply the edits of a fix, if the rest of the program computes the same after them."""
