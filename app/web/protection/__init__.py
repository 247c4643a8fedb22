"""Protect the server from its clients: who may send requests, how many and how slowly, and what browsers let other pages do."""
