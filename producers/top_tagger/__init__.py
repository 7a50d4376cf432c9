"""The top tagger: pictures of jets, and the networks that tell top quarks from other jets by them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .images import jet_images
    from .performance_analyzer import TopTaggerPerformance
    from .producer import TopTaggerProducer
    from .sample import make_sample
    from .setup import TopTaggerService, make_resnet50

_WHERE = {
    "TopTaggerPerformance": "performance_analyzer",
    "TopTaggerProducer": "producer",
    "TopTaggerService": "setup",
    "jet_images": "images",
    "make_resnet50": "setup",
    "make_sample": "sample",
}

__all__ = [
    "TopTaggerPerformance",
    "TopTaggerProducer",
    "TopTaggerService",
    "jet_images",
    "make_resnet50",
    "make_sample",
]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.producers.top_tagger' has no attribute '{name}'") from None
    return getattr(importlib.import_module(f"evproc.producers.top_tagger.{home}"), name)
