"""Modules that cannot be compiled, or fail when they run; each with what the error must say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from evproc.framework import Analyzer, Event, Filter, Producer


class Bad(Producer):
    """The base of the producers below."""

    produces = "float64"
    consumes = ("Jet_pt", "n")
    compiled = True


class NoMachineCode(Bad):
    """Calls a library that numba does not know."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return json.dumps(event["Jet_pt"][0])


class Undeclared(Bad):
    """Reads what it does not declare."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        first = 1
        return event["Jet_pT"][first]  # here


class NoField(Bad):
    """Reads a field that the collection does not have."""

    consumes = ("Jet",)

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return event["Jet"].ptt[0]  # here


class Text(Bad):
    """Reads text."""

    consumes = ("name",)

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return len(event["name"])


class Changes(Bad):
    """Keeps something on itself."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        self.last = 3  # here
        return 1.0


class Writes(Bad):
    """Changes what it reads."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        pt = event["Jet_pt"]
        pt[0] = 3.0  # here
        return pt[0]


class Nothing(Bad):
    """Returns nothing for some events."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return 1.0 if event["n"] > 3 else None


class TwoDimensions(Bad):
    """Returns a matrix."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return np.ones((2, 3))


class NotThere(Bad):
    """Reads an attribute that nobody sets."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return self.nothing + 1  # type: ignore[attr-defined]  # here


class NoBool(Filter):
    """Does not answer with True or False."""

    consumes = ("n",)
    compiled = True

    def filter(self, event: Event) -> Any:
        """Whatever."""
        return event["n"]


class Columnar(Bad):
    """Is columnar already."""

    def produce_columns(self, columns: Any) -> Any:
        """Whatever."""
        return columns["n"] * 1.0


class Threaded(Bad):
    """Wants threads."""

    threaded = True

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return 1.0


class Looks(Analyzer):
    """Is no producer."""

    consumes = ("n",)
    compiled = True

    def analyze(self, event: Event) -> None:
        """Whatever."""


class NoDict(Bad):
    """Makes its dict elsewhere."""

    produces = {"a": "float64", "b": "float64"}

    def produce(self, event: Event) -> Any:
        """Whatever."""
        made = {"a": 1.0, "b": 2.0}
        return made  # noqa: RET504  # here


class OutOfRange(Bad):
    """Asks for the third of two jets."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return float(event["Jet_pt"][2])


class DividesByZero(Bad):
    """Divides by the number of jets."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        return 1.0 / len(event["Jet_pt"])


class Raises(Bad):
    """Raises an error of its own."""

    def produce(self, event: Event) -> Any:
        """Whatever."""
        if event["n"] < 5:
            raise ValueError("too few")
        return 1.0


class Differs(Bad):
    """Divides integers of 32 bits in a way that wraps in Python, where they stay small, and not in machine code."""

    produces = "int64"

    def produce(self, event: Event) -> Any:
        """Whatever."""
        with np.errstate(over="ignore"):
            return int(event["n"] * event["n"] * event["n"])
