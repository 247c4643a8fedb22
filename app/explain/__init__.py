"""Explain a recording: report mistakes and remarkable things in it, with fixes where one is certain."""
