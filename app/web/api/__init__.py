"""Define the routes of the REST API, its errors and its reference."""
