"""Pictures of the wires around each hit, as LArSoft's EmTrackMichelId makes them, and what is made of the answers.

A wire plane is an image: wire against drift time. Six ticks (0.5 us each) are averaged into one pixel of drift, because
the drift in 3 us, 4.8 mm, is about the distance of two wires: pixels are square then. A patch is 48x48 pixels, 23 cm a side,
and the hit is in its pixel [24, 24].

The planes are padded with zeros once, and all patches of a piece are one indexed copy out of a view
(`sliding_window_view`): no loop over hits. The copy is what it costs, 9,216 bytes a patch.

Source of the steps and numbers: LArSoft, `larrecodnn` EmTrack.h and `larreco` dataprovider.fcl.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from .network import PATCH

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer]

WINDOW = 6
"""Ticks that are averaged into one pixel."""
ADC_RANGE = (-50.0, 150.0)
"""Where the charge of a pixel is cut off, ADC."""
ADC_FACTOR = 0.1
"""From ADC to the network's numbers, which so are -5 to 15."""
HALF = PATCH // 2


def wire_images(adc: npt.NDArray[np.generic], window: int = WINDOW) -> Floats:
    """The planes as the network sees them: averaged along the drift, cut off and scaled.

    adc:     (planes, wires, ticks) any number, ADC of the deconvolved waveforms
    returns: (planes, wires, ticks // window) float32, -5 to 15; ticks beyond the last full window are left out
    """
    pixels = adc.shape[-1] // window
    grouped = adc[..., : pixels * window].reshape(*adc.shape[:-1], pixels, window)
    mean = grouped.mean(axis=-1, dtype=np.float32)
    return np.asarray(np.clip(mean, *ADC_RANGE) * np.float32(ADC_FACTOR), dtype=np.float32)


class PatchMaker:
    """Patches of one event: its images padded with zeros, and where its hits are.

    images: (planes, wires, drift) float32, of `wire_images`
    plane, wire: (hits,) integer
    time:   (hits,) float, peak time in ticks
    raises: ValueError if a hit is not on one of the planes
    """

    def __init__(self, images: Floats, plane: Ints, wire: Ints, time: Floats, window: int = WINDOW) -> None:
        drift = np.floor(np.asarray(time) / window).astype(np.int64)
        places = (np.asarray(plane), np.asarray(wire), drift)
        for name, place, extent in zip(("plane", "wire", "drift"), places, images.shape, strict=True):
            outside = np.flatnonzero((place < 0) | (place >= extent))
            if len(outside):
                hit = outside[0]
                raise ValueError(f"hit {hit} is in {name} {place[hit]}, and there are {extent}")
        self._places = places
        padded = np.pad(images, ((0, 0), (HALF, HALF - 1), (HALF, HALF - 1)))
        self._windows = sliding_window_view(padded, (PATCH, PATCH), axis=(1, 2))
        #: bytes that are kept, without those of patches
        self.nbytes = padded.nbytes + sum(place.nbytes for place in places)

    def __len__(self) -> int:
        return len(self._places[0])

    def patches(self, start: int = 0, stop: int | None = None) -> Floats:
        """The patches of hits `start` to `stop`: (hits, 48, 48, 1) float32: wire, drift, channel."""
        plane, wire, drift = (place[start:stop] for place in self._places)
        found: Floats = self._windows[plane, wire, drift][..., np.newaxis]
        return found


def fiducial(wire: Ints, time: Floats, wires: int, ticks: int, window: int = WINDOW) -> npt.NDArray[np.bool_]:
    """Whether the whole patch of a hit is on its plane of so many wires and ticks: (hits,) bool."""
    drift = np.floor(np.asarray(time) / window)
    inside = (wire >= HALF) & (wire <= wires - HALF) & (drift >= HALF) & (drift <= ticks // window - HALF)
    return np.asarray(inside, dtype=np.bool_)


def cluster_scores(classes: Floats, cluster: Ints, clusters: int) -> Floats:
    """How much each cluster looks like a track: p = v0 / (v0 + v1), v the added outputs of its hits.

    classes:  (hits, 3) float32: track, em, none
    cluster:  (hits,) integer: which cluster a hit belongs to, 0 to clusters - 1; negative: to none
    returns:  (clusters,) float32, 0 to 1; NaN for a cluster without hits
    """
    inside = cluster >= 0
    track, em = (np.bincount(cluster[inside], weights=classes[inside, column], minlength=clusters) for column in (0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(track / (track + em), dtype=np.float32)
