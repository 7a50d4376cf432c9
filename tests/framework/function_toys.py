"""Functions that are made modules, in a file of their own so that a configuration can name them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypedDict

import awkward as ak
import numpy as np
import numpy.typing as npt

from evproc.framework import Collection, EventID, EventIDs, Jagged, Parameter


class Muons(Protocol):
    """What is read of muons."""

    pt: npt.NDArray[np.float64]
    charge: npt.NDArray[np.float64]


class Sums(NamedTuple):
    """Two products."""

    total: float
    count: int


class Extremes(TypedDict):
    """Two products."""

    low: float
    high: Annotated[Any, "float32"]


@dataclass
class Both:
    """Two products by columns."""

    total: np.ndarray
    large: Jagged


def total(Jet_pt: npt.NDArray[np.float64]) -> float:  # noqa: N803 - the name of the product
    """Sum of the momenta."""
    return float(Jet_pt.sum())


def above(pt: np.ndarray, threshold: float = 30.0) -> npt.NDArray[np.float64]:
    return pt[pt > threshold]


def limited(
    pt: np.ndarray,
    threshold: Annotated[float, Parameter(description="lower edge", unit="GeV", ge=0)] = 30.0,
    mode: Literal["sum", "count"] = "sum",
) -> float:
    return float(pt[pt > threshold].sum() if mode == "sum" else (pt > threshold).sum())


def charge(muons: Muons) -> float:
    return float((muons.charge * (muons.pt > 10)).sum())


def size(muons: Collection) -> int:
    return len(muons)


def ratio(first: float, second: float, third: float = 1.0) -> float:
    return first / (second + third)


def sums(Jet_pt: np.ndarray) -> Sums:  # noqa: N803 - the name of the product
    return Sums(float(Jet_pt.sum()), len(Jet_pt))


def extremes(Jet_pt: np.ndarray) -> Extremes:  # noqa: N803 - the name of the product
    return {"low": float(min(Jet_pt, default=0)), "high": float(max(Jet_pt, default=0))}


def column_total(pt: ak.Array) -> np.ndarray:
    return np.asarray(ak.sum(pt, axis=1))


def both(pt: Jagged) -> Both:
    event = np.repeat(np.arange(len(pt)), np.diff(pt.offsets))
    large = pt.content > 30
    counts = np.bincount(event[large], minlength=len(pt))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Both(np.bincount(event, pt.content, minlength=len(pt)), Jagged(offsets, pt.content[large]))


def is_even(identity: EventID) -> bool:
    return identity.event % 2 == 0


def are_even(identities: EventIDs) -> np.ndarray:
    return identities.event % 2 == 0


async def later(pt: np.ndarray, factor: float = 2.0) -> float:
    await asyncio.sleep(0)
    return float(pt.sum()) * factor


async def later_large(pt: Jagged) -> np.ndarray:
    await asyncio.sleep(0)
    return np.diff(pt.offsets) > 1


async def later_sums(pt: np.ndarray) -> Sums:
    await asyncio.sleep(0)
    return Sums(float(pt.sum()), len(pt))


def only_by_place(pt: np.ndarray, /, *, scale: float = 1.0, weight: np.ndarray | None = None) -> float:
    return float((pt * (1.0 if weight is None else weight)).sum() * scale)


def nested(counts: Mapping[str, int], pt: np.ndarray) -> float:
    return float(pt.sum()) + sum(counts.values())
