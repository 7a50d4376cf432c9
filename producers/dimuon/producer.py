"""The mass of the first two muons of an event as a module: for single events, as machine code, and for columns.

The first and the last have the same bits, since both call NumPy. `DimuonCompiled` calls `math`, as suits numbers, which
may differ from NumPy in the last bit of a sine.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, sin, sinh, sqrt
from typing import Any, Literal

import numpy as np

from evproc.framework import Columns, Event, InputTag, Parameter, Producer

from .mass import Doubles, opposite_charge, pair_mass_cartesian, pair_mass_polar

FIELDS: dict[str, tuple[str, ...]] = {
    "polar": ("pt", "eta", "phi", "mass", "charge"),
    "cartesian": ("Px", "Py", "Pz", "E", "Charge"),
}
"""The four-momentum and the charge, as NanoAOD names them and as the HZZ ntuple does."""


class Dimuon(Producer):
    """What both forms have in common: parameters, inputs and the formula."""

    produces = "float64"

    class Config(Producer.Config):
        """Which muons."""

        muons: InputTag = Parameter("Muon", description="collection of muons, in falling order of pt")
        coordinates: Literal["polar", "cartesian"] = Parameter(
            "polar",
            description="fields of the muons: polar is pt, eta, phi, mass, charge; cartesian is Px, Py, Pz, E, Charge",
        )

    config: Config

    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Five fields of the muons."""
        return {self.config.muons: FIELDS[self.config.coordinates]}

    def mass(self, first: Sequence[Any], second: Sequence[Any]) -> tuple[Doubles, Any]:
        """Mass, and whether charges are opposite, from the five fields of both muons."""
        polar = self.config.coordinates == "polar"
        mass = (pair_mass_polar if polar else pair_mass_cartesian)(tuple(first[:4]), tuple(second[:4]))
        return mass, opposite_charge(first[4], second[4])


class DimuonProducer(Dimuon):
    """Mass of the first two muons, GeV; -1 if there are not two, or their charges are not opposite."""

    def produce(self, event: Event) -> float:
        """The mass, GeV, or -1."""
        muons = event[self.config.muons]
        fields = [muons[name] for name in FIELDS[self.config.coordinates]]
        if len(fields[0]) < 2:
            return -1.0
        mass, opposite = self.mass([field[0] for field in fields], [field[1] for field in fields])
        return float(mass) if opposite else -1.0


class DimuonColumns(Dimuon):
    """As `DimuonProducer`, by columns."""

    def produce_columns(self, columns: Columns) -> Doubles:
        """The masses, GeV, or -1: (events,) float64."""
        names = [f"{self.config.muons}_{name}" for name in FIELDS[self.config.coordinates]]
        arrays = [columns.jagged(name) for name in names]
        offsets = arrays[0][0]
        pairs = np.flatnonzero(np.diff(offsets) >= 2)
        leading = offsets[pairs]
        first = [content[leading] for _, content in arrays]
        second = [content[leading + 1] for _, content in arrays]
        masses = np.full(len(columns), -1.0)
        mass, opposite = self.mass(first, second)
        masses[pairs] = np.where(opposite, mass, -1.0)
        return masses


class DimuonCompiled(Dimuon):
    """As `DimuonProducer`, compiled to machine code: the same but for rounding, a hundred times as fast."""

    compiled = True

    def produce(self, event: Event) -> float:
        """The mass, GeV, or -1."""
        muons = event[self.config.muons]
        if len(muons) < 2:
            return -1.0
        x = y = z = e = 0.0
        charges = 1
        for muon in range(2):
            if self.config.coordinates == "polar":
                pt, phi = float(muons.pt[muon]), float(muons.phi[muon])
                px, py, pz = pt * cos(phi), pt * sin(phi), pt * sinh(float(muons.eta[muon]))
                mass = float(muons.mass[muon])
                energy = sqrt(px * px + py * py + pz * pz + mass * mass)
                charges *= int(muons.charge[muon])
            else:
                px, py, pz = float(muons.Px[muon]), float(muons.Py[muon]), float(muons.Pz[muon])
                energy = float(muons.E[muon])
                charges *= int(muons.Charge[muon])
            x, y, z, e = x + px, y + py, z + pz, e + energy
        if charges >= 0:
            return -1.0
        return sqrt(max(e * e - (x * x + y * y + z * z), 0.0))
