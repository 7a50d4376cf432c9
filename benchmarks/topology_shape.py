"""The shape of a workflow of some 190 modules, for `benchmarks.topology`: who reads what, and what stands on which path.

The shape is that of a reconstruction that ends in flat tables, as CMS runs them for NanoAOD; `shape` draws it with a
seed, so it is the same in each run. Its numbers are ours, chosen to look like such a workflow, not taken from one:

    layer         width    what stands there
    unpack          16     reads 24 branches of the input
    local           28     hits, clusters
    candidates      24     tracks, jets, leptons
    identify        32     identification, isolation, scores of networks
    correct         24     calibrations and their variations
    table           24     one flat table per collection
    filters         16     two or three on each of 8 paths; 4 of them are shared; one passes 30 to 90 % of the events
    selected        16     producers behind the filters of the paths, two on each
    analyzers        8     monitoring, four on an end path and four behind filters
    output           1     reads all tables, for the events that any path passes

Each producer reads as many products as `DEGREES` says, most of few makers, a few of many: four of five from the layer
just above, others from any before.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

SEED = 1961
BRANCHES, PATHS = 24, 8
LAYERS = {"unpack": 16, "local": 28, "candidates": 24, "identify": 32, "correct": 24, "table": 24}
DEGREES = {1: 40, 2: 28, 3: 17, 4: 8, 6: 5, 10: 2}
"""Inputs of a producer -> in how many of a hundred."""
OWN_FILTERS, SHARED_FILTERS = 12, 4


@dataclass(slots=True)
class Shape:
    """Who reads what, and what stands on which path."""

    reads: dict[str, list[str]] = field(default_factory=dict)
    """Producer -> what it reads."""
    filters: dict[str, float] = field(default_factory=dict)
    """Filter -> the part of the events that it passes."""
    paths: list[list[str]] = field(default_factory=list)
    analyzers: dict[str, list[str]] = field(default_factory=dict)
    """Analyzer on the end path -> what it reads."""


def shape(seed: int = SEED) -> Shape:
    """Draw the workflow."""
    draw = random.Random(seed)
    found = Shape()
    above = [f"branch{place}" for place in range(BRANCHES)]
    before: list[str] = list(above)
    for layer, width in LAYERS.items():
        names = [f"{layer}{place}" for place in range(width)]
        for name in names:
            found.reads[name] = _inputs(draw, above, before)
        before += names
        above = names
    shared = [f"shared{place}" for place in range(SHARED_FILTERS)]
    own = [f"own{place}" for place in range(OWN_FILTERS)]
    found.filters = {name: round(draw.uniform(0.3, 0.9), 2) for name in [*shared, *own]}
    tables = [name for name in found.reads if name.startswith(("identify", "correct"))]
    for place in range(PATHS):
        mine = [shared[place % SHARED_FILTERS], *own[place::PATHS]]
        made = [f"selected{2 * place}", f"selected{2 * place + 1}"]
        for name in made:
            found.reads[name] = _inputs(draw, tables, before)
        monitor = f"monitor{place}"
        found.analyzers[monitor] = _inputs(draw, made if place % 2 else tables, tables)
        found.paths.append([mine[0], made[0], *mine[1:], made[1], *([monitor] if place % 2 else [])])
    return found


def _inputs(draw: random.Random, above: Sequence[str], before: Sequence[str]) -> list[str]:
    degree = draw.choices(list(DEGREES), list(DEGREES.values()))[0]
    return sorted({draw.choice(above if draw.random() < 0.8 else before) for _ in range(degree)})
