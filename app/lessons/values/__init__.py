"""Evaluate the expressions of a lesson over its recordings, and write their values as text."""
