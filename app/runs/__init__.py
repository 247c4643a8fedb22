"""Admit runs, execute them, record their events, and find them again."""
