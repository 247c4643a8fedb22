"""Provide what a program expects around it: output, an event loop, plotting, warnings, and remedies for missing resources."""
