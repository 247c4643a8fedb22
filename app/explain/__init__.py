"""Explain a recording: what is worth telling of it, and what would mend it."""
