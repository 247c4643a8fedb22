"""Provide the command line. ``commands`` declares the commands; the other modules implement them."""
