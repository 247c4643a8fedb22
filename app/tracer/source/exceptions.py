"""Read what an exception says, so that it can travel."""

from __future__ import annotations


def exception_text(error: BaseException) -> str:
    """What an exception says, fit to travel; saying it is the program's own code and may fail."""
    try:
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            return f"The program ended itself with exit status {error.code}."
        return encodable(str(error))
    except Exception:
        return f"<exception str() failed: {type(error).__name__}>"


def encodable(text: str) -> str:
    """Text without what cannot travel: halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()
