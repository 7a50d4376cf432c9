"""Several networks in one job: what lies between them, on the CPU."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .producer import ElectronSelector, HadronicLeakage, ShowerShapes

_WHERE = {
    "ElectronSelector": "producer",
    "HadronicLeakage": "producer",
    "ShowerShapes": "producer",
}

__all__ = ["ElectronSelector", "HadronicLeakage", "ShowerShapes"]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.producers.reconstruction' has no attribute '{name}'") from None
    return getattr(importlib.import_module(f"evproc.producers.reconstruction.{home}"), name)
