"""An ntuple like NanoAOD, made up: 60 branches, jets and muons as lists, the rest one value per event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BASKET = 20_000
"""Events per basket."""
JET_FIELDS = ("pt", "eta", "phi", "mass", "area", "btag", "chHEF", "neHEF", "qgl", "rawFactor")
MUON_FIELDS = ("pt", "eta", "phi", "mass", "charge", "dxy", "dz", "iso", "sip3d", "ptErr")
ELECTRON_FIELDS = ("pt", "eta", "phi", "mass", "charge", "dxy", "dz", "iso")
BRANCHES = 60


def _lists(random: np.random.Generator, name: str, mean: float, fields: tuple[str, ...], events: int) -> dict[str, Any]:
    """A collection: name_field -> (events * var) float32 (charge: int32)."""
    import awkward as ak

    counts = random.poisson(mean, events)
    total = int(counts.sum())
    arrays: dict[str, Any] = {}
    for field in fields:
        if field == "pt":
            content = (15 + random.exponential(30, total)).astype(np.float32)
        elif field == "eta":
            content = random.uniform(-2.5, 2.5, total).astype(np.float32)
        elif field == "phi":
            content = random.uniform(-np.pi, np.pi, total).astype(np.float32)
        elif field == "charge":
            content = random.choice(np.array([-1, 1], np.int32), total)
        else:
            content = random.exponential(1.0, total).astype(np.float32)
        arrays[field] = ak.unflatten(content, counts)
    return {name: ak.zip(arrays)}


def batch(random: np.random.Generator, first: int, events: int) -> dict[str, Any]:
    """One batch of events: name of a branch, or of a collection, -> array."""
    arrays: dict[str, Any] = {
        "run": np.full(events, 362_000, np.uint32),
        "luminosityBlock": (np.arange(first, first + events) // 1000 + 1).astype(np.uint32),
        "event": np.arange(first, first + events).astype(np.uint64),
        "MET_pt": random.exponential(30, events).astype(np.float32),
        "MET_phi": random.uniform(-np.pi, np.pi, events).astype(np.float32),
        **_lists(random, "Jet", 4.0, JET_FIELDS, events),
        **_lists(random, "Muon", 1.0, MUON_FIELDS, events),
        **_lists(random, "Electron", 0.7, ELECTRON_FIELDS, events),
    }
    counters = 3
    flat = BRANCHES - 5 - len(JET_FIELDS) - len(MUON_FIELDS) - len(ELECTRON_FIELDS) - counters
    for place in range(flat):
        arrays[f"Extra_{place}"] = random.normal(size=events).astype(np.float32)
    return arrays


def write(path: Path, events: int, seed: int = 1) -> Path:
    """Write the ntuple: a TTree `Events`, zstd."""
    import uproot

    random = np.random.default_rng(seed)
    with uproot.recreate(path, compression=uproot.ZSTD(1)) as file:
        tree = None
        for first in range(0, events, BASKET):
            arrays = batch(random, first, min(BASKET, events - first))
            if tree is None:
                kinds = {name: getattr(array, "type", None) or array.dtype for name, array in arrays.items()}
                kinds = {name: getattr(kind, "content", kind) for name, kind in kinds.items()}
                tree = file.mktree("Events", kinds, counter_name=lambda name: f"n{name}")
            tree.extend(arrays)
    opened: Any = uproot.open(path)
    with opened as file:
        tree = file["Events"]
        if tree.num_entries != events or len(tree.keys()) != BRANCHES:
            raise AssertionError(f"{path}: {tree.num_entries} events, {len(tree.keys())} branches")
    return path
