"""Pairs of muons: their invariant mass."""

from __future__ import annotations

from .mass import opposite_charge, pair_mass_cartesian, pair_mass_polar
from .producer import DimuonColumns, DimuonCompiled, DimuonProducer

__all__ = [
    "DimuonColumns",
    "DimuonCompiled",
    "DimuonProducer",
    "opposite_charge",
    "pair_mass_cartesian",
    "pair_mass_polar",
]
