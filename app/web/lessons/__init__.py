"""Serve lessons: their pages, the programs in them, and the routes that judge a reader's code."""
