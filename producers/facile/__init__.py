"""FACILE: the energy of HCAL channels from their digitised pulses, by a network of 2,111 parameters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fpga_producer import FpgaFacileProducer
    from .performance_analyzer import FacilePerformance
    from .producer import ChargeSumProducer, FacileProducer
    from .sample import make_sample

_WHERE = {
    "ChargeSumProducer": "producer",
    "FacilePerformance": "performance_analyzer",
    "FacileProducer": "producer",
    "FpgaFacileProducer": "fpga_producer",
    "make_sample": "sample",
}

__all__ = ["ChargeSumProducer", "FacilePerformance", "FacileProducer", "FpgaFacileProducer", "make_sample"]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.producers.facile' has no attribute '{name}'") from None
    return getattr(importlib.import_module(f"evproc.producers.facile.{home}"), name)
