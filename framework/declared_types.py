"""Whether the type that a module declares for a product is one: `float32`, `var * float64`, `3 * int32`, `string`.

A type is a hint for who writes the product, so a wrong one shows in the last step of a job, or never. It is looked at when the
configuration is. Types of records and of what may be missing are read by awkward, which is imported for them alone.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from .errors import did_you_mean

_UNSAID = ("", "object")
"""No type is said, or any object is meant."""
_WORDS = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float32",
    "float64",
    "string",
)
"""For hints."""
_WORD = re.compile(r"[a-z]+\d*(\[\d*[a-z]+\])?")


@lru_cache(maxsize=4096)
def wrong_type(kind: str) -> str:
    """What is wrong with a declared type, as a half sentence; empty if nothing is.

    >>> wrong_type("var * flot32")
    "is declared as 'var * flot32', and 'flot32' is no type; did you mean 'float32' or 'float64'?"
    """
    text = re.sub(r"\s*\*\s*", " * ", kind.strip())
    if text in _UNSAID:
        return ""
    *lengths, last = text.split(" * ")
    if not _WORD.fullmatch(last):
        return "" if _is_read_by_awkward(text) else f"is declared as '{kind}', which is no type"
    if last not in ("string", "bytes") and number_type(last) is None:
        return f"is declared as '{kind}', and '{last}' is no type{did_you_mean(last, _WORDS)}"
    odd = next((length for length in lengths if length != "var" and not length.isdigit()), "")
    return f"is declared as '{kind}', which is no type: '{odd}' is neither var nor a number" if odd else ""


def _is_read_by_awkward(text: str) -> bool:
    import awkward as ak

    try:
        ak.types.from_datashape(text, highlevel=False)
    except Exception:
        return False
    return True


def number_type(kind: str) -> np.dtype[np.generic] | None:
    """The dtype of the numbers of a type made of fixed or varying lists of one kind of number; None for other types.

    >>> number_type("var * 2 * float32")
    dtype('float32')
    """
    *lengths, last = kind.split(" * ")
    if any(length != "var" and not length.isdigit() for length in lengths):
        return None
    if not _WORD.fullmatch(last):
        return None
    try:
        dtype = np.dtype(last)
    except TypeError:
        return None
    return dtype if dtype.kind in "biufcmM" else None
