"""The top tagger: pictures of jets, and the networks that tell top quarks from other jets by them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .images import jet_images
    from .setup import make_resnet50

_WHERE = {
    "jet_images": "images",
    "make_resnet50": "setup",
}

__all__ = ["jet_images", "make_resnet50"]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.producers.top_tagger' has no attribute '{name}'") from None
    return getattr(importlib.import_module(f"evproc.producers.top_tagger.{home}"), name)
