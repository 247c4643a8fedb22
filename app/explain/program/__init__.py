"""Find statements, calls and names in the text of a program, without a look at its recording."""
