"""Run untrusted programs in confined processes. The operating system is the security boundary, not the language.

::

    server ── pool ──control socket──> zygote ──fork──> child: confines itself, then receives a program
       └────────── pipes of one job ─────────────────────┘

- The **zygote** is an interpreter that has loaded PyTorch. It forks children and never sees a program.
- A **child** confines itself, reads one job, runs it and exits. No child runs a second program.
- The **self-test** tries to escape from a child before the first program runs. If an attempt succeeds, nothing runs.

The server uses :mod:`.pool`, :mod:`.zygote_client`, :mod:`.follow` and :mod:`.selftest`. The other modules run in the
zygote and its children.
"""
