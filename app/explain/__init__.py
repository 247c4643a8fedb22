"""Explain a recording: report mistakes and other remarkable facts, with a fix if one is certain."""
