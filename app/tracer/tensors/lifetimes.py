"""Find out whether a program may observe the lifetimes of its objects.

The recorder keeps tensors until it has read them, some until the end of their step, so they are freed later than in an
unrecorded run. A program can observe that only by weak references, finalizers, reference counts or measures of memory. Its text
then contains one of the words listed here. The recorder keeps no tensor of such a program: it copies each at once, which takes
longer.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(
    r"\b(?:weakref|Weak\w*Dictionary|WeakSet|__del__|finalize|getrefcount|get_objects|get_referrers|getrusage|memory_info|"
    r"tracemalloc)\b"
)


class Lifetimes:
    """Whether a program may observe the lifetimes of its objects, according to the texts read so far."""

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
