"""Which line of a workflow makes something: for messages, and for `evproc config --origin`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_LIBRARY = ("framework", "sonic_client", "modules", "producers")
_PACKAGE_ROOTS = tuple(
    {
        str(base / package)
        for base in (Path(__file__).parent.parent, Path(__file__).resolve().parent.parent)
        for package in _LIBRARY
    }
)
_COMMAND_LINE = tuple(f"{root}{os.sep}cli{os.sep}" for root in _PACKAGE_ROOTS)
"""What the command line itself asks for comes from no file."""


def calling_file(made: object = None) -> tuple[str, int]:
    """The nearest calling frame outside evproc's own packages, as file and line; `("", 0)` if there is none.

    A constructor of the object `made` does not count: a plug-in's module is made in the workflow, not in the plug-in.
    """
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_COMMAND_LINE):
            break
        own = code.co_name == "__init__" and frame.f_locals.get(code.co_varnames[0]) is made
        if not own and not code.co_filename.startswith((*_PACKAGE_ROOTS, "<")):
            return code.co_filename, frame.f_lineno
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "", 0


def caller(made: object = None) -> str:
    """File and line where an object is made, as `workflow.py:12`; empty if that is nowhere."""
    file, line = calling_file(made)
    return f"{Path(file).name}:{line}" if file else ""
