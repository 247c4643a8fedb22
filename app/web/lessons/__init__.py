"""Serve lessons: their pages, the programs in them, and what judges a reader's answers."""
