"""General modules: sources, filters, histogram analyzers and output modules.

Names are loaded when first used, so that listing them costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ == "modules":
    raise ImportError("import this package as evproc.modules, not as modules")

if TYPE_CHECKING:
    from .array_source import ArraySource
    from .corrections import CorrectionFile, CorrectionProducer, CorrectionSets
    from .filters import CountFilter, RangeFilter, ScalarSumFilter
    from .friend_files import Friend
    from .histogram import Histogram, HistogramAnalyzer
    from .memory import Memory
    from .metrics import Metrics
    from .ntuple_output import NtupleOutput
    from .ntuple_source import NtupleSource
    from .timing import Timing
    from .tracer import Tracer

_HOME = {
    "array_source": ("ArraySource",),
    "corrections": ("CorrectionFile", "CorrectionProducer", "CorrectionSets"),
    "filters": ("CountFilter", "RangeFilter", "ScalarSumFilter"),
    "friend_files": ("Friend",),
    "histogram": ("Histogram", "HistogramAnalyzer"),
    "memory": ("Memory",),
    "metrics": ("Metrics",),
    "ntuple_output": ("NtupleOutput",),
    "ntuple_source": ("NtupleSource",),
    "timing": ("Timing",),
    "tracer": ("Tracer",),
}
_WHERE = {name: home for home, names in _HOME.items() for name in names}

__all__ = [
    "ArraySource",
    "CorrectionFile",
    "CorrectionProducer",
    "CorrectionSets",
    "CountFilter",
    "Friend",
    "Histogram",
    "HistogramAnalyzer",
    "Memory",
    "Metrics",
    "NtupleOutput",
    "NtupleSource",
    "RangeFilter",
    "ScalarSumFilter",
    "Timing",
    "Tracer",
]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.modules' has no attribute '{name}'") from None
    value = getattr(importlib.import_module(f"evproc.modules.{home}"), name)
    globals()[name] = value
    return value
