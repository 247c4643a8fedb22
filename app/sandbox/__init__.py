"""Confine strangers' programs: the operating system is the boundary, not the language.

::

    server ── pool ──control socket──> zygote ──fork──> child: confined, then given a program
       └────────── a job's pipes ───────────────────────┘

Only :mod:`.pool` and :mod:`.selftest` are for the server; the rest runs in the zygote and its children.
"""
