"""The steps of Exa.TrkX between its networks, as plain functions on arrays: a graph, two cuts, connected components.

    features -> [embedding] -> radius_graph -> [filter] -> keep_edges -> [gnn] -> tracks

This file needs NumPy and SciPy alone, and any Python from 3.10 on: a copy of it lies beside the Python models of the
repository (`models/exatrkx/1/steps.py`), so that a server needs no evproc. A test holds the two equal.

What differs from the public ensemble: components are found over all hits (there, over the largest hit number of an
edge); and a hit without an edge is a track of its own (there, all of them share one label, the largest plus one).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

RADIUS = 0.9
"""Largest distance of two hits that are joined, in the space of the embedding."""
NEIGHBOURS = 500
"""Most hits that one hit is joined to."""
FILTER_CUT = 0.15
"""Least score of an edge after the filter."""
EDGE_CUT = 0.8
"""Least score of an edge after the graph network."""

Array = npt.NDArray[Any]


def radius_graph(points: Array, radius: float = RADIUS, neighbours: int = NEIGHBOURS) -> Array:
    """The pairs of points within a radius, each once.

    points:     (hits, 8) float32
    neighbours: most edges from a point to others, the nearest; at equal distance those of smaller number
    returns:    (2, edges) int64, source and destination, source > destination, in rising order
    """
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    if len(points) < 2:
        return np.empty((2, 0), np.int64)
    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray").astype(np.int64)  # first < second
    low, high = pairs[:, 0], pairs[:, 1]
    if len(pairs) and np.bincount(pairs.ravel()).max() > neighbours:
        distance = np.square(points[low].astype(np.float64) - points[high]).sum(axis=1)
        source, other = np.concatenate([high, low]), np.concatenate([low, high])
        order = np.lexsort((other, np.concatenate([distance, distance]), source))
        source, other = source[order], other[order]
        rank = np.arange(len(source)) - np.searchsorted(source, source)
        near = (rank < neighbours) & (source > other)
        low, high = other[near], source[near]
    order = np.lexsort((low, high))
    return np.stack([high[order], low[order]])


def probability(logits: Array) -> Array:
    """The logistic function, in float64: scores of edges, 0 to 1."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -60.0, 60.0)))


def keep_edges(edges: Array, logits: Array, cut: float = FILTER_CUT) -> Array:
    """The edges with a score above the cut.

    edges:   (2, edges) int64
    logits:  (edges,) or (edges, 1) float32, of the filter
    returns: (2, kept) int64
    """
    return np.ascontiguousarray(edges[:, probability(logits.reshape(-1)) > cut])


def tracks(hits: int, edges: Array, logits: Array, cut: float = EDGE_CUT) -> Array:
    """The track of each hit: connected components of the edges with a score above the cut.

    hits:    how many there are, with or without edges
    edges:   (2, edges) int64
    logits:  (edges,) float32, of the graph network
    returns: (hits,) int64, numbered from 0 in the order of the first hit; a hit without an edge is a track of its own
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    source, destination = keep_edges(edges, logits, cut)
    links = coo_array((np.ones(len(source), np.int8), (source, destination)), shape=(hits, hits))
    found = connected_components(links, directed=False)[1] if hits else np.empty(0, np.int64)
    _, first, label = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[label].astype(np.int64).reshape(hits)
