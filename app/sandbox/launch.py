"""Start the zygote with room for a large stack: the kernel lays memory out when a program starts, not later.

Run as ``python -P -s -B -m tapedeck.sandbox.launch <stack bytes> <descriptor> <plan>``; becomes the zygote.
"""

from __future__ import annotations

import os
import resource
import sys


def main() -> None:
    """Set the limit, as far as it may be set, and become the zygote."""
    wanted = int(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    zygote = f"{__spec__.parent}.zygote"
    os.execv(sys.executable, [sys.executable, "-P", "-s", "-B", "-m", zygote, *sys.argv[2:]])


if __name__ == "__main__":
    main()
