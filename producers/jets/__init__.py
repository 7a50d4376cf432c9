"""Jet energy regression: corrected transverse momenta of reconstructed jets."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .producer import JetEnergyProducer

__all__ = ["JetEnergyProducer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'evproc.producers.jets' has no attribute '{name}'")
    return getattr(importlib.import_module("evproc.producers.jets.producer"), name)
