"""Admit a run, execute it, record its events, and find it again."""
