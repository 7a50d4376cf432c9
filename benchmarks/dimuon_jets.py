"""The analysis of the reading benchmark: plain functions, used by the modules and by the scripts written by hand alike.

Ten fields: pt, eta, phi, charge of the muons; pt, eta, phi, mass of the jets; pt and phi of the missing transverse
momentum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, cosh, hypot, sqrt
from typing import Any

import numpy as np

MUONS = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge")
JETS = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass")
MET = ("MET_pt", "MET_phi")
FIELDS = (*MUONS, *JETS, *MET)
IDENTITY = ("run", "luminosityBlock", "event")


@dataclass(slots=True)
class Found:
    """What the analysis finds."""

    masses: float = 0.0
    """Sum of the dimuon masses of selected events, GeV."""
    energy: float = 0.0
    """Sum of the transverse energies of selected events, GeV."""
    recoil: float = 0.0
    """Sum of the recoils of selected events, GeV."""
    events: list[tuple[int, int, int]] = field(default_factory=list)
    """The selected events: run, luminosity block, event."""

    def add(self, mass: float, energy: float, recoil: float) -> bool:
        """Add an event if it is selected; returns whether it is."""
        if mass < 20.0 or energy < 60.0:
            return False
        self.masses += mass
        self.energy += energy
        self.recoil += recoil
        return True


def dimuon_mass(pt: Any, eta: Any, phi: Any, charge: Any) -> float:
    """Mass of the first two muons if they have opposite charge, else 0; GeV. Each argument: (muons,)."""
    if len(pt) < 2 or charge[0] == charge[1]:
        return 0.0
    pt0, pt1 = pt[:2].tolist()
    eta0, eta1 = eta[:2].tolist()
    phi0, phi1 = phi[:2].tolist()
    return sqrt(2.0 * pt0 * pt1 * (cosh(eta0 - eta1) - cos(phi0 - phi1)))


def transverse_energy(pt: Any, eta: Any, mass: Any) -> float:
    """Sum of sqrt(pt^2 + m^2) over the jets within |eta| < 2.4; GeV. Each argument: (jets,)."""
    total = 0.0
    for one, where, heavy in zip(pt.tolist(), eta.tolist(), mass.tolist(), strict=True):
        if -2.4 < where < 2.4:
            total += hypot(one, heavy)
    return total


def recoil(met: float, met_phi: float, phi: Any) -> float:
    """Missing transverse momentum along the first jet, GeV; 0 without jets. phi: (jets,)."""
    return met * cos(met_phi - phi[0]) if len(phi) else 0.0


def analyze_columns(muons: tuple[Any, ...], jets: tuple[Any, ...], met: tuple[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """The same for many events at once.

    muons: offsets (events + 1,), then pt, eta, phi, charge, each (rows,); jets: offsets, then pt, eta, phi, mass; met: pt and
    phi, each (events,). Returns the numbers of the selected events, and their masses, energies and recoils, each (selected,).
    """
    offsets, pt, eta, phi, charge = muons
    first = offsets[:-1]
    pairs = np.flatnonzero(np.diff(offsets) >= 2)
    a = first[pairs]
    opposite = charge[a] != charge[a + 1]
    pairs, a = pairs[opposite], a[opposite]
    b = a + 1
    masses = np.sqrt(2.0 * pt[a] * pt[b] * (np.cosh(eta[a] - eta[b]) - np.cos(phi[a] - phi[b])))
    bounds, jet_pt, jet_eta, jet_phi, jet_mass = jets
    energies = np.where(np.abs(jet_eta) < 2.4, np.hypot(jet_pt, jet_mass), np.float32(0.0))
    summed = np.concatenate([[0.0], np.cumsum(energies, dtype=np.float64)])
    energy = (summed[bounds[1:]] - summed[bounds[:-1]])[pairs]
    keep = (masses >= 20.0) & (energy >= 60.0)
    chosen = pairs[keep]
    there = bounds[1:][chosen] > bounds[:-1][chosen]
    along = np.zeros(len(chosen))
    met_pt, met_phi = met
    with_jets = chosen[there]
    along[there] = met_pt[with_jets] * np.cos(met_phi[with_jets] - jet_phi[bounds[:-1][with_jets]])
    return chosen, masses[keep], energy[keep], along


def add_columns(found: Found, chosen: Any, masses: Any, energies: Any, recoils: Any, ids: tuple[Any, Any, Any]) -> None:
    """Add selected events of a chunk; ids: run, luminosity block and event of all its events, each (events,)."""
    found.masses += float(masses.sum(dtype=np.float64))
    found.energy += float(energies.sum())
    found.recoil += float(recoils.sum())
    found.events.extend(zip(*(values[chosen].tolist() for values in ids), strict=True))
