"""Serve the REST API and the pages over HTTP, with error responses and security headers.

Its modules and packages, from the top down. Each imports only from those below it:

- ``sharing``: a run outside its page, as a frame in another page, one HTML file, a program file or an animation
- ``lessons``: the pages of lessons, the programs in them, and the routes that judge answers
- ``pages``: every other page, such as the playground, the gallery, the guide and the findings
- ``api``: the routes of the REST API, its problem details and its reference
- ``service.py``: the parts of a running server that requests need, such as ``readiness.py`` and ``example_runs.py``
- ``streams``: server-sent events to many listeners, and the position of a classroom's playhead
- ``columns``: numbers of many steps and passes, packed by columns
- ``protection``: who may send requests, how many and how slowly, and what browsers let other pages do
- ``links.py``, ``request_parts.py``, ``responses.py``, ``pictures.py``, ``stopping.py``: URLs, reading requests, building
  responses, drawing a run, answering when the server stops
"""
