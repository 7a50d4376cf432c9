"""EmTrackMichelId of ProtoDUNE-SP: track, shower or Michel electron, for each hit, from a picture of the wires around it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .performance_analyzer import EmTrackMichelPerformance
    from .producer import EmTrackMichelProducer
    from .sample import make_sample
    from .service import EmTrackMichelService

_WHERE = {
    "EmTrackMichelPerformance": "performance_analyzer",
    "EmTrackMichelProducer": "producer",
    "EmTrackMichelService": "service",
    "make_sample": "sample",
}

__all__ = ["EmTrackMichelPerformance", "EmTrackMichelProducer", "EmTrackMichelService", "make_sample"]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.producers.em_track_michel' has no attribute '{name}'") from None
    return getattr(importlib.import_module(f"evproc.producers.em_track_michel.{home}"), name)
