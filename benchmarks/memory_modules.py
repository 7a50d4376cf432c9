"""The modules of the memory benchmark's job: those of the reading benchmark, and inference for each jet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.dimuon_jets import MUONS, dimuon_mass, transverse_energy
from evproc.framework import Analyzer, EndPath, Event, Path, Process, Producer
from evproc.modules import NtupleSource
from evproc.sonic_client import Client, FakeModel, FakeServer, InferenceProducer, InferenceService, TensorSpec


def weigh(inputs: dict[str, Any]) -> dict[str, Any]:
    """The model: the mean of the inputs of each row."""
    return {"score": inputs["jet"].mean(axis=1, keepdims=True)}


def make_server() -> FakeServer:
    """A server with that model."""
    jet = TensorSpec("jet", np.dtype("float32"), (4,))
    score = TensorSpec("score", np.dtype("float32"), (1,))
    return FakeServer([FakeModel("weigh", [jet], [score], weigh, max_batch_size=20_000, latency=0.005)])


class DimuonMass(Producer):
    """Mass of the first two muons."""

    consumes = MUONS
    produces = "float64"

    def produce(self, event: Event) -> float:
        """The mass, GeV."""
        return dimuon_mass(event["Muon_pt"], event["Muon_eta"], event["Muon_phi"], event["Muon_charge"])


class TransverseEnergy(Producer):
    """Transverse energy of the jets."""

    consumes = ("Jet_pt", "Jet_eta", "Jet_mass")
    produces = "float64"

    def produce(self, event: Event) -> float:
        """The sum, GeV."""
        return transverse_energy(event["Jet_pt"], event["Jet_eta"], event["Jet_mass"])


class JetScore(InferenceProducer):
    """A score for each jet."""

    consumes = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass")
    model_inputs = {"jet": "float32[4]"}
    model_outputs = {"score": "float32[1]"}
    produces = "var * float32"

    def acquire(self, event: Event) -> Mapping[str, Any]:
        """Four numbers for each jet."""
        jets = np.array([event["Jet_pt"], event["Jet_eta"], event["Jet_phi"], event["Jet_mass"]])
        return {"jet": jets.T}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        """The scores: (jets,) float32."""
        return outputs["score"][:, 0]


class Counter(Analyzer):
    """Counts events, and looks at their products."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.events = 0
        self.total = 0.0

    def analyze(self, event: Event) -> None:
        """Count one event."""
        self.total += event["mass"] + event["energy"]
        self.events += 1


class ScoreCounter(Counter):
    """The same, with the scores."""

    consumes = ("mass", "energy", "score")

    def analyze(self, event: Event) -> None:
        """Count one event."""
        self.total += event["mass"] + event["energy"] + len(event["score"])
        self.events += 1


class PlainCounter(Counter):
    """The same, without scores."""

    consumes = ("mass", "energy")


def job(files: list[str], chunk: int, server: str) -> tuple[Process, Counter]:
    """The job, and the module that counts its events; with inference if the address of a server is given."""
    process = Process("MEMORY")
    process.source = NtupleSource(files=files, chunk=chunk)
    process.mass = DimuonMass()
    process.energy = TransverseEnergy()
    members = ["mass", "energy"]
    if server != "-":
        process.inference = InferenceService(servers=[server])
        process.score = JetScore(client=Client(model="weigh"))
        members.append("score")
    counter: Counter = ScoreCounter() if server != "-" else PlainCounter()
    process.counter = counter
    process.path = Path(*members)
    process.end = EndPath(process.counter)
    return process, counter
