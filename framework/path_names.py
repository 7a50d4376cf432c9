"""The names of the products that say what paths have come to.

`TriggerResults_PATH` (bool) says whether an event passes a path, `PathStatus_PATH` (uint8) what the path has come to, by the
values of `PathState`: 1 pass, 2 fail, 3 exception. Both are collections: `event["TriggerResults"].signal`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

PASSED, STATUS = "TriggerResults", "PathStatus"


class PathResult(NamedTuple):
    """A product that says what a path has come to."""

    path: str
    kind: str
    """`PASSED` or `STATUS`."""


def result_products(paths: Iterable[str]) -> dict[str, PathResult]:
    """The products that say what these paths have come to."""
    return {f"{kind}_{path}": PathResult(path, kind) for kind in (PASSED, STATUS) for path in paths}


RESULT_TYPES = {PASSED: "bool", STATUS: "uint8"}
