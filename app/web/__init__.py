"""Answer over HTTP: the API, the pages, and what guards them."""
