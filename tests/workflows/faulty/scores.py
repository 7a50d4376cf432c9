"""Jets in, a score for each out: a small job with inference, for servers that misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from evproc.framework import EndPath, Event, Input, InputTag, Path, Process
from evproc.modules import NtupleOutput, NtupleSource
from evproc.sonic_client import Client, InferenceProducer, InferenceService


class Scores(InferenceProducer):
    """A score for each jet."""

    model_inputs = {"x": "float32[2]"}
    model_outputs = {"y": "float32[1]"}
    produces = "var * float32"

    class Config(InferenceProducer.Config):
        client: Client = Client(model="score")
        jets: InputTag = Input("Jet", fields=("pt", "eta"))

    def acquire(self, event: Event) -> Mapping[str, Any]:
        jets = event[self.config.jets]
        return {"x": np.stack([jets.pt, jets.eta], axis=1)}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        return outputs["y"][:, 0]


process = Process("SCORES")
process.source = NtupleSource(files="jets.root")
process.inference = InferenceService()
process.score = Scores(client=Client(model="score"))
process.out = NtupleOutput(file="scores.root", keep=["Jet_pt", "Jet_eta", "score"])
process.scored = Path(process.score)
process.end = EndPath(process.out)
