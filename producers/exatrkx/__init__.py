"""Exa.TrkX: tracks from the hits of a silicon tracker, by three networks and two graph algorithms on a server."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .performance_analyzer import TrackPerformance
    from .producer import LocalTrackFinder, TrackFinder
    from .sample import make_sample

_WHERE = {
    "LocalTrackFinder": "producer",
    "TrackFinder": "producer",
    "TrackPerformance": "performance_analyzer",
    "make_sample": "sample",
}

__all__ = ["LocalTrackFinder", "TrackFinder", "TrackPerformance", "make_sample"]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.producers.exatrkx' has no attribute '{name}'") from None
    return getattr(importlib.import_module(f"evproc.producers.exatrkx.{home}"), name)
