"""Raise the stack limit and become the zygote.

The kernel reads the limit when a program starts, so a zygote cannot raise it for itself. Run as ``python -P -s -B -m
tapedeck.sandbox.launch <stack bytes> <control descriptor> <config>``.
"""

from __future__ import annotations

import os
import resource
import sys


def main() -> None:
    """Set the stack limit, at most to the hard limit, and execute the zygote."""
    wanted = int(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    zygote = f"{__spec__.parent}.zygote"
    options = ["-P", "-s", "-B"] if sys.flags.no_user_site else ["-P", "-B"]
    os.execv(sys.executable, [sys.executable, *options, "-m", zygote, *sys.argv[2:]])


if __name__ == "__main__":
    main()
