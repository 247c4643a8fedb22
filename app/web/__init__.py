"""Serve the REST API and the pages over HTTP, with error responses and security headers."""
