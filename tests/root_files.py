"""ROOT files as the tests look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import uproot


def open_root(path: str | Path) -> Any:
    """A ROOT file, as untyped as uproot's objects are."""
    return uproot.open(path)
