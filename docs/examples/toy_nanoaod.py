"""Makes a small file in the form of NanoAOD, with random jets and muons, for those who have no NanoAOD at hand.

python docs/examples/toy_nanoaod.py nano.root
"""

from __future__ import annotations

import argparse
from typing import Any

import awkward as ak
import numpy as np
import uproot

FRACTIONS = ("chHEF", "neHEF", "chEmEF", "neEmEF", "muEF")


def toy_events(events: int, seed: int) -> dict[str, Any]:
    """Branches, and collections of branches, of random events."""
    random = np.random.default_rng(seed)

    def floats(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32)

    def collection(mean: float, masses: tuple[float, float]) -> tuple[int, np.ndarray, dict[str, np.ndarray]]:
        counts = random.poisson(mean, events)
        total = int(counts.sum())
        kinematics = {
            "pt": floats(15 + random.exponential(40, total)),
            "eta": floats(random.uniform(-2.4, 2.4, total)),
            "phi": floats(random.uniform(-np.pi, np.pi, total)),
            "mass": floats(random.uniform(*masses, total)),
        }
        return total, counts, kinematics

    jets, jet_counts, jet = collection(4.0, (3.0, 15.0))
    shares = floats(random.dirichlet((4, 1, 2, 1, 0.1), jets))
    jet |= {name: shares[:, place] for place, name in enumerate(FRACTIONS)}
    jet |= {"area": floats(random.normal(0.5, 0.02, jets)), "nConstituents": random.poisson(20, jets).astype(np.uint8)}
    muons, muon_counts, muon = collection(1.5, (0.1056, 0.1057))
    muon |= {"charge": random.choice(np.array([-1, 1], np.int32), muons)}
    return {
        "run": np.full(events, 1, np.uint32),
        "luminosityBlock": np.ones(events, np.uint32),
        "event": np.arange(1, events + 1, dtype=np.uint64),
        "fixedGridRhoFastjetAll": floats(random.normal(20, 4, events)),
        "Jet": ak.zip({name: ak.unflatten(values, jet_counts) for name, values in jet.items()}),
        "Muon": ak.zip({name: ak.unflatten(values, muon_counts) for name, values in muon.items()}),
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    branches = toy_events(chosen.events, chosen.seed)
    types = {name: array.type if isinstance(array, ak.Array) else array.dtype for name, array in branches.items()}
    with uproot.recreate(chosen.file) as file:
        tree = file.mktree("Events", types, counter_name=lambda name: f"n{name}")
        tree.extend(branches)


if __name__ == "__main__":
    main()
