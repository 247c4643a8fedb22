"""Relate a recording to the program's text: statements, lines, loops, names and tracebacks."""
