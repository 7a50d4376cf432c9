"""Modules for the tests of compiled modules: each as Python and as machine code."""

from __future__ import annotations

import math
from math import cosh, sqrt
from typing import Any

import numpy as np

from evproc.framework import Analyzer, Event, Filter, InputTag, Parameter, Producer

LIMIT = 2.4
FIELD = "pt"
EDGES = np.array([0.0, 20.0, 40.0, 80.0])


def energy(pt: float, eta: float) -> float:
    """A helper that a method calls."""
    return pt * cosh(eta)


def scaled(pt: Any, eta: Any, factor: float = 2.0) -> float:
    """A helper that calls a helper."""
    total = 0.0
    for one, other in zip(pt, eta):  # noqa: B905 - numba knows no strict
        total += factor * energy(float(one), float(other))
    return total


class Scalars(Producer):
    """Numbers: from a list, a fixed-size array, a number per event, a parameter, globals, helpers."""

    produces = "float64"
    consumes = ("Jet_pt", "Jet_eta", "MET_pt", "weights", "n")

    class Config(Producer.Config):
        """One limit."""

        above: float = Parameter(5.0, description="smallest transverse momentum")

    def produce(self, event: Event) -> float:
        """A number."""
        pt, eta = event["Jet_pt"], event[f"Jet_{'eta'}"]
        if len(pt) == 0:
            return -1.0
        total = scaled(pt, eta) + float(event["MET_pt"]) * LIMIT
        for number in range(len(pt)):
            if pt[number] > self.config.above and abs(eta[number]) < LIMIT:
                total += sqrt(float(pt[number])) + self._bonus(number)
        weights = event["weights"]
        return total * float(weights[0]) - float(weights[1]) + int(event["n"])

    def _bonus(self, number: int) -> float:
        return self.config.above / (number + 1)


class ScalarsCompiled(Scalars):
    """As machine code."""

    compiled = True


class Arrays(Producer):
    """An array of another length than what is read."""

    produces = "var * float32"

    class Config(Producer.Config):
        """A collection."""

        jets: InputTag = Parameter("Jet", description="jets")

    def produce(self, event: Event) -> Any:
        """Momenta of central jets, in another order."""
        jets = event[self.config.jets]
        central = np.abs(jets.eta) < LIMIT
        return jets[FIELD][central][::-1]


class ArraysCompiled(Arrays):
    """As machine code."""

    compiled = True


class Several(Producer):
    """Three products: a list, a number and a boolean."""

    produces = {"high": "var * int64", "sum": "float64", "any": "bool"}
    consumes = ("Jet",)

    def begin_job(self, job: Any) -> None:
        """A table that is there when the job begins."""
        self.edges = EDGES * 2

    def produce(self, event: Event) -> dict[str, Any]:
        """All three."""
        jets = event["Jet"]
        total = 0.0
        for value in jets.pt:
            total += float(value)
        if len(jets) == 0:
            return {"high": np.zeros(0, np.int64), "sum": total, "any": False}
        return {"any": total > 40.0, "sum": math.sqrt(total), "high": np.searchsorted(self.edges, jets.pt)}


class SeveralCompiled(Several):
    """As machine code."""

    compiled = True


class Busy(Filter):
    """Events with enough jets."""

    consumes = ("Jet_pt",)

    class Config(Filter.Config):
        """How many."""

        at_least: int = Parameter(2, description="jets")

    def filter(self, event: Event) -> bool:
        """Whether there are enough."""
        return len(event["Jet_pt"]) >= self.config.at_least


class BusyCompiled(Busy):
    """As machine code."""

    compiled = True


class Seen(Analyzer):
    """Keeps what it sees of each event."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__()
        self.consumes = keys  # type: ignore[misc]  # of this instance
        self.values: list[dict[str, Any]] = []

    def analyze(self, event: Event) -> None:
        """Keep."""
        self.values.append({key: event[key] for key in self.consumes})
