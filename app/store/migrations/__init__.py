"""Bring a database to the tables of today."""
