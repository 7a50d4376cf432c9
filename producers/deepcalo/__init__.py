"""DeepCalo: the energy of electrons from images of calorimeter cells, by a network of 1,839,201 parameters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .performance_analyzer import DeepCaloPerformance
    from .producer import CellSumProducer, DeepCaloProducer
    from .sample import make_sample

_WHERE = {
    "CellSumProducer": "producer",
    "DeepCaloPerformance": "performance_analyzer",
    "DeepCaloProducer": "producer",
    "make_sample": "sample",
}

__all__ = ["CellSumProducer", "DeepCaloPerformance", "DeepCaloProducer", "make_sample"]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.producers.deepcalo' has no attribute '{name}'") from None
    return getattr(importlib.import_module(f"evproc.producers.deepcalo.{home}"), name)
