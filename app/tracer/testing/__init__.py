"""Test gradients of a user's own functions; imported in the user's tests through :mod:`tapedeck.testing`."""
