"""Where the boxes of a layered graph go: from left to right, with few crossings and short, straight edges.

The method of Sugiyama, Tagawa and Toda (IEEE Trans. Syst. Man Cybern. 11, 1981): nodes are in layers already; an edge that
passes a layer gets a bend there, which takes part like a node; the order in the layers is improved by sweeps that put each
node at the mean of its neighbours; last, heights are the least-squares solution that keeps order and distance, layer by layer.
Edges from one node share their bends: what it makes leaves it as one line, which branches as late as it can.
All of it is small and deterministic: a workflow has tens of modules, and its picture should not change from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Size = tuple[float, float]
Point = tuple[float, float]

SWEEPS = 24
STIFF = 8.0
"""How much straighter an edge is kept between two bends than between two boxes."""
PORT = 8.0
"""Room between two edges that reach the same box."""


@dataclass(slots=True)
class Layout:
    """Positions; y grows downwards, the upper left corner is (0, 0)."""

    centers: dict[str, Point] = field(default_factory=dict)
    routes: list[list[Point]] = field(default_factory=list)
    """For each edge the points that it passes: it is level on the way through a layer, at pairs of points."""
    size: Size = (0.0, 0.0)


def lay_out(
    layers: Sequence[Sequence[str]],
    sizes: Mapping[str, Size],
    edges: Sequence[tuple[str, str]],
    *,
    between: float,
    apart: float,
) -> Layout:
    """Place nodes that are given in layers. `between` is the room between layers, `apart` that between boxes of one.

    Edges lead from a lower to a higher layer; others are drawn straight.
    """
    rank = {name: number for number, layer in enumerate(layers) for name in layer}
    columns = [list(layer) for layer in layers]
    heights = {name: sizes[name][1] for name in rank}
    pairs: list[tuple[str, str]] = []
    chains: list[list[str]] = []
    for start, end in edges:
        chain = [start]
        for layer in range(rank[start] + 1, rank[end]):
            bend = f"\0{start}.{layer}"
            if bend not in heights:
                columns[layer].append(bend)
                heights[bend] = 0.0
            chain.append(bend)
        chain.append(end)
        chains.append(chain)
        if rank[start] < rank[end]:
            pairs.extend(pair for pair in pairwise(chain) if pair not in pairs)
    columns = ordered(columns, pairs)
    y = _heights(columns, pairs, heights, apart)
    layout = Layout()
    left = 0.0
    spans: list[tuple[float, float]] = []
    for column in columns:
        width = max((sizes[name][0] for name in column if name in rank), default=0.0)
        spans.append((left, left + width))
        for name in column:
            if name in rank:
                layout.centers[name] = (left + width / 2, y[name])
        left += width + between
    ports = _ports(chains, sizes, y)
    for chain in chains:
        layout.routes.append(_route(chain, rank, sizes, layout.centers, spans, y, ports))
    bottom = max((y[name] + heights[name] / 2 for name in y), default=0.0)
    layout.size = (max(0.0, left - between), bottom)
    return layout


def _ports(
    chains: Sequence[Sequence[str]], sizes: Mapping[str, Size], y: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    """Where on its left side each node is reached from each of those before it."""
    entries: dict[str, list[str]] = {}
    for chain in chains:
        entries.setdefault(chain[-1], []).append(chain[-2])
    ports: dict[tuple[str, str], float] = {}
    for end, before in entries.items():
        before.sort(key=lambda name: y[name])
        step = min(PORT, 0.7 * sizes[end][1] / max(1, len(before) - 1))
        for number, name in enumerate(before):
            ports[name, end] = y[end] + (number - (len(before) - 1) / 2) * step
    return ports


def _route(
    chain: Sequence[str],
    rank: Mapping[str, int],
    sizes: Mapping[str, Size],
    centers: Mapping[str, Point],
    spans: Sequence[tuple[float, float]],
    y: Mapping[str, float],
    ports: Mapping[tuple[str, str], float],
) -> list[Point]:
    start, end = chain[0], chain[-1]
    right = centers[start][0] + sizes[start][0] / 2
    points = [(right, y[start]), (spans[rank[start]][1], y[start])]
    for step, bend in enumerate(chain[1:-1], rank[start] + 1):
        points += [(spans[step][0], y[bend]), (spans[step][1], y[bend])]
    port = ports[chain[-2], end]
    points += [(spans[rank[end]][0], port), (centers[end][0] - sizes[end][0] / 2, port)]
    # Without steps of no length, in which an arrowhead would get lost.
    return [points[0], *(point for before, point in pairwise(points) if math.dist(before, point) > 1e-6)]


def ordered(columns: Sequence[Sequence[str]], pairs: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The columns, each in the best order that was found: the one with the fewest crossings."""
    best = [list(column) for column in columns]
    fewest = crossings(best, pairs)
    work = [list(column) for column in columns]
    neighbours = _neighbours(pairs)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        numbers = range(1, len(work)) if forward else range(len(work) - 2, -1, -1)
        for number in numbers:
            fixed = work[number - 1 if forward else number + 1]
            place = {name: index for index, name in enumerate(fixed)}
            own = {name: index for index, name in enumerate(work[number])}

            def key(name: str, place: Mapping[str, int] = place, own: Mapping[str, int] = own) -> float:
                linked = [place[other] for other in neighbours.get(name, ()) if other in place]
                return sum(linked) / len(linked) if linked else float(own[name])

            work[number].sort(key=key)
        found = crossings(work, pairs)
        if found < fewest:
            fewest, best = found, [list(column) for column in work]
    return best


def crossings(columns: Sequence[Sequence[str]], pairs: Sequence[tuple[str, str]]) -> int:
    """How many pairs of edges between neighbouring columns cross."""
    where = {name: (number, index) for number, column in enumerate(columns) for index, name in enumerate(column)}
    gaps: dict[int, list[tuple[int, int]]] = {}
    for start, end in pairs:
        gaps.setdefault(where[start][0], []).append((where[start][1], where[end][1]))
    count = 0
    for lines in gaps.values():
        for number, (a, b) in enumerate(lines):
            count += sum((a - c) * (b - d) < 0 for c, d in lines[number + 1 :])
    return count


def _neighbours(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for start, end in pairs:
        found.setdefault(start, []).append(end)
        found.setdefault(end, []).append(start)
    return found


def _heights(
    columns: Sequence[Sequence[str]], pairs: Sequence[tuple[str, str]], heights: Mapping[str, float], apart: float
) -> dict[str, float]:
    """The height of the centre of each node and bend."""
    neighbours = _neighbours(pairs)
    y: dict[str, float] = {}
    for column in columns:
        total = sum(heights[name] for name in column) + apart * max(0, len(column) - 1)
        top = -total / 2
        for name in column:
            y[name] = top + heights[name] / 2
            top += heights[name] + apart
    for sweep in range(4 * SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted, weights = [], []
            for name in column:
                links = [(y[other], _stiffness(heights[name], heights[other])) for other in neighbours.get(name, ())]
                weight = sum(stiff for _, stiff in links)
                wanted.append(sum(place * stiff for place, stiff in links) / weight if links else y[name])
                weights.append(weight or 1.0)
            y.update(zip(column, spread(wanted, weights, [heights[name] for name in column], apart), strict=True))
    top = min((y[name] - heights[name] / 2 for name in y), default=0.0)
    return {name: value - top for name, value in y.items()}


def _stiffness(one: float, other: float) -> float:
    """How hard an edge between things of these heights pulls; bends have no height."""
    return STIFF if one == other == 0 else STIFF / 4 if one == 0 or other == 0 else 1.0


def spread(wanted: Sequence[float], weights: Sequence[float], heights: Sequence[float], apart: float) -> list[float]:
    """The centres nearest to `wanted` (weighted least squares) that keep the order and leave `apart` between boxes.

    Without the distances this is isotonic regression, done by pooling neighbours that would overlap.
    """
    offsets = [0.0] * min(1, len(heights))
    for upper, lower in pairwise(heights):
        offsets.append(offsets[-1] + (upper + lower) / 2 + apart)
    pools: list[tuple[float, float, int]] = []
    for value, weight, offset in zip(wanted, weights, offsets, strict=True):
        total, mass, count = weight * (value - offset), weight, 1
        while pools and pools[-1][0] / pools[-1][1] > total / mass:
            before, heavy, members = pools.pop()
            total, mass, count = total + before, mass + heavy, count + members
        pools.append((total, mass, count))
    flat = [total / mass for total, mass, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]
