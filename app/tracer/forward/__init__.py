"""Observe the forward: each call that makes a node, the functions of torch, and writes in place."""
