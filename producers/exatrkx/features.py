"""What the networks are given of an event's hits, and the truth that they learn from."""

from __future__ import annotations

import numpy as np

from .detector import Array

SCALES = (1000.0, np.pi, 1000.0)
"""r, phi and z are divided by these: mm, rad, mm."""


def hit_order(r: Array, z: Array) -> Array:
    """order: (hits,) int64, from the origin outwards. Edges then point inwards, and the file's order does not matter."""
    return np.argsort(np.square(r, dtype=np.float64) + np.square(z, dtype=np.float64), kind="stable")


def hit_features(r: Array, phi: Array, z: Array) -> Array:
    """Scaled coordinates of hits.

    r, phi, z: (hits,) float32, mm, rad, mm
    returns:   (hits, 3) float32, r / 1000 mm, phi / pi, z / 1000 mm
    """
    features = np.empty((len(r), 3), np.float32)
    for column, (values, scale) in enumerate(zip((r, phi, z), SCALES, strict=True)):
        np.divide(values, scale, out=features[:, column], casting="same_kind")
    return features


def true_edges(particle: Array) -> Array:
    """The pairs of neighbouring hits of each particle.

    particle: (hits,) int, of hits in the order of `hit_order`; -1 for noise
    returns:  (2, pairs) int64, source > destination
    """
    order = np.argsort(particle, kind="stable")
    order = order[particle[order] >= 0]
    same = particle[order[1:]] == particle[order[:-1]]
    return np.stack([order[1:][same], order[:-1][same]]).astype(np.int64)


def same_particle(edges: Array, particle: Array) -> Array:
    """Whether an edge joins two hits of one particle.

    edges:   (2, edges) int64
    returns: (edges,) bool; edges to noise are false
    """
    source, destination = particle[edges]
    same: Array = (source == destination) & (source >= 0)
    return same
