"""Read the message of an exception in a form that can be sent."""

from __future__ import annotations


def exception_text(error: BaseException) -> str:
    """Return the message of an exception as text that can be sent, even if its ``str()`` fails."""
    try:
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            return f"The program ended itself with exit status {error.code}."
        return encodable(str(error))
    except Exception:
        return f"<exception str() failed: {type(error).__name__}>"


def encodable(text: str) -> str:
    """Return text with lone surrogates escaped, as stderr prints them, since UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode()
