"""Jets with as many constituents as they have: rows of different lengths, to a network that sums over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from evproc.framework import Event
from evproc.sonic_client import InferenceProducer


class JetTagger(InferenceProducer):
    """A score for each jet, from the momenta of its constituents."""

    model_inputs = {"pt": "float32[?]"}
    model_outputs = {"score": "float32[1]", "weights": "float32[?]"}
    consumes = ("Jet_nConstituents", "Constituent_pt")
    produces = {"score": "var * float32", "largest": "var * float32"}

    def acquire(self, event: Event) -> Any:
        """The constituents of each jet: a list of (constituents,) float32, GeV."""
        ends = np.cumsum(event["Jet_nConstituents"])
        return {"pt": np.split(event["Constituent_pt"], ends[:-1]) if len(ends) else []}

    def produce(self, event: Event, outputs: Any) -> Any:
        """Scores are an array (jets, 1); weights are a list with (constituents,) for each jet."""
        return {
            "score": outputs["score"][:, 0],
            "largest": np.array([weights.max() for weights in outputs["weights"]], np.float32),
        }
