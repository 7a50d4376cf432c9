"""Reads the sample of the top tagger for training: pictures, or the few pixels of them that are not empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .images import SIDE, jet_images, jet_pixels
from .sample import JETS, LINKS, PARTICLES
from .small_cnn import POOLED_SIDE

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Array = npt.NDArray[Any]

PIECE = 2000
"""Events read at a time."""


def read_images(path: str | Path, side: int = POOLED_SIDE) -> tuple[Floats, Labels]:
    """The pictures of a sample's jets whose label is certain.

    returns: images (jets, side, side) float32, labels (jets,) int32: 1 top, 0 QCD
    """
    images: list[Floats] = []
    labels: list[Labels] = []
    for label, jets in _pieces(path):
        images.append(jet_images(*jets, side=side)[label >= 0, ..., 0])
        labels.append(label[label >= 0])
    return np.concatenate(images), np.concatenate(labels)


@dataclass(frozen=True, slots=True)
class Pixels:
    """Jets as lists of pixels, 1 kB each instead of 200 kB."""

    offsets: npt.NDArray[np.int64]
    """(jets + 1,): the first pixel of each jet."""
    pixel: npt.NDArray[np.int32]
    """(pixels,): row * 224 + column."""
    fraction: Floats
    """(pixels,): what is added there, a fraction of the jet's pT."""
    labels: Labels
    """(jets,): 1 top, 0 QCD."""

    def images(self, jets: Array) -> Floats:
        """The pictures of some jets, one colour. jets: (batch,) integers; returns (batch, 224, 224) float32."""
        counts = self.offsets[jets + 1] - self.offsets[jets]
        first = np.cumsum(counts) - counts
        rows = np.arange(counts.sum()) + np.repeat(self.offsets[jets] - first, counts)
        where = self.pixel[rows] + np.repeat(np.arange(len(jets)), counts) * SIDE**2
        filled = np.bincount(where, self.fraction[rows], len(jets) * SIDE**2)
        return filled.astype(np.float32).reshape(len(jets), SIDE, SIDE)


def read_pixels(path: str | Path) -> Pixels:
    """The pixels of a sample's jets whose label is certain."""
    counts, pixels, fractions, labels = [], [], [], []
    for label, jets in _pieces(path):
        where, fraction = jet_pixels(*jets)
        owner = where // SIDE**2
        order = np.argsort(owner, kind="stable")
        order = order[label[owner[order]] >= 0]
        counts.append(np.bincount(owner, minlength=len(label))[label >= 0])
        pixels.append((where[order] % SIDE**2).astype(np.int32))
        fractions.append(fraction[order].astype(np.float32))
        labels.append(label[label >= 0])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    return Pixels(offsets, np.concatenate(pixels), np.concatenate(fractions), np.concatenate(labels))


def _pieces(path: str | Path) -> Iterator[tuple[Labels, tuple[Array, Array, Array, Array, Array, Array, Array]]]:
    """Labels of all jets of some events, and what `jet_images` takes. In our samples, particles are listed jet by jet."""
    import awkward as ak
    import uproot

    iterate: Any = uproot.iterate
    names = [f"{JETS}_{name}" for name in ("pt", "eta", "phi", "label")]
    names += [f"{PARTICLES}_{name}" for name in ("pt", "eta", "phi")] + [f"{LINKS}_jetIdx"]
    for piece in iterate({str(path): "Events"}, names, step_size=PIECE, library="ak"):
        flat = {name: ak.to_numpy(ak.flatten(piece[name])) for name in names}
        jets = ak.to_numpy(ak.num(piece[f"{JETS}_pt"]))
        first = np.cumsum(jets) - jets
        owner = flat[f"{LINKS}_jetIdx"] + np.repeat(first, ak.to_numpy(ak.num(piece[f"{LINKS}_jetIdx"])))
        pt, eta, phi = (flat[f"{JETS}_{name}"] for name in ("pt", "eta", "phi"))
        particles = (flat[f"{PARTICLES}_pt"], flat[f"{PARTICLES}_eta"], flat[f"{PARTICLES}_phi"])
        yield flat[f"{JETS}_label"], (pt, eta, phi, *particles, owner)
