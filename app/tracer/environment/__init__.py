"""Provide what a program expects around it: standard output, an event loop, plotting, and remedies for missing resources."""
