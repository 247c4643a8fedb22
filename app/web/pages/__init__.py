"""Serve the pages, complete without JavaScript."""
