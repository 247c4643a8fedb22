"""Provide a program's surroundings: output, an event loop, plotting, warnings, and remedies for missing resources."""
