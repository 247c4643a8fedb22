"""Find and change what the cells of a lesson contain: programs, probes, and the numbers that a reader drags."""
