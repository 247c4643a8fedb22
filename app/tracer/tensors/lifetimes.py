"""Know whether the program looks at the lifetimes of its objects.

The recorder keeps tensors until it has read them, some until the end of their step. That frees them later than without it. A
program can notice only by weak references, finalizers, counts of references or measures of memory, and its text then contains
one of few words. The recorder keeps no tensor of such a program: it copies each at once, which takes longer.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(
    r"\b(?:weakref|Weak\w*Dictionary|WeakSet|__del__|finalize|getrefcount|get_objects|get_referrers|getrusage|memory_info|"
    r"tracemalloc)\b"
)


class Lifetimes:
    """What is known of a program's interest in lifetimes."""

    def __init__(self) -> None:
        self.observed = False
        """True if the program may notice when a tensor is freed."""

    def read(self, text: str) -> None:
        """Read the text of the program, or of a module of the user's own.

        >>> lifetimes = Lifetimes()
        >>> lifetimes.read("import weak, gc; gc.collect()")
        >>> lifetimes.observed
        False
        >>> lifetimes.read("from weakref import ref")
        >>> lifetimes.observed
        True
        """
        self.observed = self.observed or _WORDS.search(text) is not None
