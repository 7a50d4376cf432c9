"""Trains the networks of Exa.TrkX on toy events, one after another, on one thread.

    python -m evproc.producers.exatrkx.training embedding --output models/exatrkx_embedding/1/model.onnx
    python -m evproc.producers.exatrkx.training filter --output models/exatrkx_filter/1/model.onnx
    python -m evproc.producers.exatrkx.training gnn --output models/exatrkx_gnn/1/model.onnx

Each stage is trained on what the stages before it make of fresh events (so their files, beside its own, must be there):

    embedding     metric learning. Neighbouring hits of a particle are pulled together, loss d^2; pairs of hits of
                  different particles that are nearer than the margin, the hard negatives of that moment, are pushed
                  apart, loss 1 - d^2. All pairs of an event are looked at, so none is missed
    filter        binary cross-entropy on the edges of the radius graph, some of each event
    gnn           the same on the edges that the filter keeps, all of each event. The scores of every round of messages are
                  held to the truth, those of the last round as much as all others together

An edge is true if its hits are of one particle, neighbours or not. True edges of particles are rarer in the graph than
false ones before the filter; both kinds have the same weight in sum there. Embedding and filter see no event twice, the
graph network some hundreds, again and again. The seeds begin at 1,000,000, and evaluation is on 2,000,000 and above.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .detector import Array
from .event import make_event
from .features import hit_features, hit_order, same_particle, true_edges
from .network import NETWORKS, Parameters, initial_parameters, shapes
from .steps import FILTER_CUT, RADIUS, keep_edges, radius_graph
from .torch_networks import FORWARD, gnn_rounds

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

TRAINING_SEEDS = 1_000_000
HELD_OUT_SEED = 2_000_000
STEPS = {"embedding": 2500, "filter": 2500, "gnn": 8000, "interaction": 1500}
"""Steps of each stage, by default; one event each."""
EVENTS = {"gnn": 500, "interaction": 300}
"""Different events of a stage, by default, where that is less than the steps: making their graphs takes as long as a step."""
RATES = {"embedding": 1e-3, "filter": 1e-3, "gnn": 4e-3, "interaction": 1e-3}
"""The largest learning rate of each stage."""
SMALLEST, LARGEST = 100, {"embedding": 1500, "filter": 3000, "gnn": 3200, "interaction": 500}
"""Hits of the smallest and of the largest events of each stage, by default."""
SAVED = 1000
"""Steps between two files of a run."""
MARGIN = 1.0
"""Hits of different particles are pushed apart to this distance, in the embedding."""
PULL = 3.0
"""Weight of true pairs in the embedding's loss: a missing edge cannot be mended, a false one can."""
FILTER_EDGES = 2000
"""Edges of an event that the filter is trained on, at most."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What the networks learn from: one event, from the origin outwards."""

    features: Array
    """features: (hits, 3) float32"""
    particle: Array
    """particle: (hits,) int32, -1 for noise"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one network is trained."""

    stage: str
    seed: int
    steps: int
    events: int
    """Different events; from then on they come again, in the same order, with their edges, but turned and mirrored."""
    smallest: int
    largest: int
    rate: float
    """The largest learning rate; it rises to it in the first tenth of the steps, and falls."""


def training_hits(seed: int, step: int, smallest: int, largest: int) -> Hits:
    """A fresh event of `smallest` hits and more, evenly up to `largest`."""
    size = int(np.random.default_rng([seed, step, 1]).integers(smallest, largest))
    event = make_event(size, seed, step)
    order = hit_order(event.r, event.z)
    return Hits(hit_features(event.r[order], event.phi[order], event.z[order]), event.particle[order])


def turned(hits: Hits, rng: np.random.Generator) -> Hits:
    """The same event turned about the beam line, and mirrored in z and in phi or not: the detector looks the same."""
    angle, flips = rng.uniform(-1.0, 1.0), rng.choice([-1.0, 1.0], 2)
    r, phi, z = hits.features.T
    phi = (flips[0] * phi + angle + 1.0) % 2.0 - 1.0
    return Hits(np.stack([r, phi, flips[1] * z], axis=1).astype(np.float32), hits.particle)


def embedding_loss(points: torch.Tensor, hits: Hits) -> torch.Tensor:
    """The loss of metric learning, as the head of this file says. points: (hits, 8)."""
    import torch  # pyright: ignore[reportMissingImports]

    source, destination = torch.from_numpy(true_edges(hits.particle))
    near = (points[source] - points[destination]).square().sum(dim=1)
    with torch.no_grad():
        particle = torch.from_numpy(hits.particle)
        other = (particle[:, None] != particle) | (particle[:, None] < 0)
        within = torch.cdist(points, points) < MARGIN
        first, second = torch.triu(other & within, 1).nonzero(as_tuple=True)
    far = (points[first] - points[second]).square().sum(dim=1)
    return PULL * near.mean() + (MARGIN**2 - far).clamp(min=0.0).sum() / len(points)


def edge_loss(logits: torch.Tensor, true: Array, balanced: bool) -> torch.Tensor:
    """Binary cross-entropy. logits, true: (edges,); `balanced`: both kinds have the same weight in sum."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    target = torch.from_numpy(true.astype(np.float32))
    share = float(np.clip(true.mean(), 0.02, 0.98)) if balanced else 0.5
    weight = torch.where(target > 0.5, 0.5 / share, 0.5 / (1.0 - share))
    return functional.binary_cross_entropy_with_logits(logits, target, weight)


def stage_loss(stage: str, values: dict[str, Any], hits: Hits, edges: Array) -> torch.Tensor:
    """The loss of one event. edges: (2, edges) int64, those that the stage sees; none for the embedding."""
    import torch  # pyright: ignore[reportMissingImports]

    features = torch.from_numpy(hits.features)
    if stage == "embedding":
        return embedding_loss(FORWARD[stage](values, features), hits)
    true = same_particle(edges, hits.particle)
    if stage == "gnn":
        *earlier, last = (
            edge_loss(logits, true, False) for logits in gnn_rounds(values, features, torch.from_numpy(edges))
        )
        return last + torch.stack(earlier).mean()
    return edge_loss(FORWARD[stage](values, features, torch.from_numpy(edges)), true, stage == "filter")


def train(plan: Plan, edges_of: Callable[[Hits], Array], first: Parameters, save: Callable[[Parameters], None]) -> None:
    """Train from the `first` parameters. Sets torch's number of threads (to one, so that sums have one order).

    save: takes the parameters at the end, and every `SAVED` steps, so that a run may be cut short
    """
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    stage, seed, steps, events = plan.stage, plan.seed, plan.steps, plan.events
    values = {name: torch.nn.Parameter(torch.from_numpy(value)) for name, value in first.items()}
    optimiser = torch.optim.AdamW(values.values(), lr=plan.rate, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=plan.rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    begin, mean = time.perf_counter(), 0.0
    kept: list[tuple[Hits, Array]] = []
    for step in range(steps):
        if step < events:
            number = step + 100_000 * list(NETWORKS).index(stage)
            hits = training_hits(TRAINING_SEEDS + seed, number, plan.smallest, plan.largest)
            edges = edges_of(hits)
            if events < steps:
                kept.append((hits, edges))
        else:
            hits, edges = kept[step % events]
            hits = turned(hits, np.random.default_rng([seed, step, 3]))
        if stage == "filter" and edges.shape[1] > FILTER_EDGES:
            chosen = np.random.default_rng([seed, step, 2]).choice(edges.shape[1], FILTER_EDGES, replace=False)
            edges = np.ascontiguousarray(edges[:, np.sort(chosen)])
        if stage == "embedding" or edges.shape[1]:
            loss = stage_loss(stage, values, hits, edges)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(values.values(), 1.0)
            optimiser.step()
            mean += (float(loss.detach()) - mean) * max(0.02, 1.0 / (1 + step))
        rate.step()
        if step % SAVED == SAVED - 1 or step == steps - 1:
            save({name: value.detach().numpy() for name, value in values.items()})
        if step % 50 == 49:
            print(f"{stage} {step + 1}/{steps}: loss {mean:.4f}, {time.perf_counter() - begin:.0f} s", flush=True)  # noqa: T201


def earlier_stages(
    stage: str, models: Path, radius: float = RADIUS, filter_cut: float = FILTER_CUT
) -> Callable[[Hits], Array]:
    """What makes the edges that a stage is trained on: those before the filter, or those that it keeps."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions: list[Any] = [
        onnxruntime.InferenceSession(models / f"exatrkx_{name}" / "1" / "model.onnx", options)
        for name in {"embedding": (), "filter": ("embedding",)}.get(stage, ("embedding", "filter"))
    ]

    def edges_of(hits: Hits) -> Array:
        if not sessions:
            return np.empty((2, 0), np.int64)
        edges = radius_graph(sessions[0].run(None, {"FEATURES": hits.features})[0], radius)
        if len(sessions) > 1:
            logits = sessions[1].run(None, {"FEATURES": hits.features, "EDGES": edges})[0]
            edges = keep_edges(edges, logits, filter_cut)
        return edges

    return edges_of


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.exatrkx.training STAGE --output model.onnx`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.exatrkx.training", description="Train one network of Exa.TrkX."
    )
    parser.add_argument("stage", choices=list(NETWORKS), help="which network; those before it must be trained")
    parser.add_argument("--output", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--models", type=Path, default=Path("models"), help="the repository (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of network and events (default: %(default)s)")
    parser.add_argument("--start", type=Path, help="an ONNX file of the same network, to go on from; give another seed")
    parser.add_argument("--steps", type=int, help=f"steps, of one event each (default: {STEPS})")
    parser.add_argument("--events", type=int, help=f"different events (default: {EVENTS}, else all)")
    parser.add_argument("--smallest", type=int, default=SMALLEST, help="hits of an event (default: %(default)s)")
    parser.add_argument("--largest", type=int, help=f"hits of an event (default: {LARGEST})")
    parser.add_argument("--rate", type=float, help=f"largest learning rate (default: {RATES})")
    parser.add_argument("--radius", type=float, default=RADIUS, help="of the graph (default: %(default)s)")
    parser.add_argument("--filter-cut", type=float, default=FILTER_CUT, help="before gnn (default: %(default)s)")
    chosen = parser.parse_args(arguments)

    import torch  # pyright: ignore[reportMissingImports]

    from evproc.producers.onnx_graph import read_parameters, write_onnx

    from .onnx_models import onnx_model

    begin, stage = time.perf_counter(), chosen.stage
    steps = chosen.steps or STEPS[stage]
    plan = Plan(
        stage,
        chosen.seed,
        steps,
        min(steps, chosen.events or EVENTS.get(stage, steps)),
        chosen.smallest,
        chosen.largest or LARGEST[stage],
        chosen.rate or RATES[stage],
    )
    first = (
        read_parameters(chosen.start, shapes(stage)) if chosen.start else initial_parameters(chosen.stage, chosen.seed)
    )
    edges_of = earlier_stages(chosen.stage, chosen.models, chosen.radius, chosen.filter_cut)
    metadata = {"seed": str(chosen.seed), "steps": str(steps), "torch": str(torch.__version__).split("+")[0]}

    def save(values: Parameters) -> None:
        write_onnx(onnx_model(chosen.stage, values, metadata), chosen.output)

    train(plan, edges_of, first, save)
    print(f"{chosen.output} written after {time.perf_counter() - begin:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
