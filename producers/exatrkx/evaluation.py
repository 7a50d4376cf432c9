"""How good the shipped networks are on held-out events, stage by stage; with onnxruntime in this process.

python -m evproc.producers.exatrkx.evaluation --events 50 --hits 1000
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from . import steps
from .display import draw_efficiency, draw_event
from .event import make_event
from .features import hit_features, hit_order, same_particle, true_edges
from .performance import Matched, match, performance_table, together
from .pipeline import GRAPH_NETWORKS, Pipeline
from .training import HELD_OUT_SEED


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.exatrkx.evaluation`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.exatrkx.evaluation", description="Evaluate Exa.TrkX on held-out events."
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="the repository (default: %(default)s)")
    parser.add_argument("--gnn", choices=GRAPH_NETWORKS, default=GRAPH_NETWORKS[0], help="the graph network")
    parser.add_argument("--events", type=int, default=50, help="number of events (default: %(default)s)")
    parser.add_argument("--hits", type=int, default=1000, help="hits per event (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="seed of the events (default: %(default)s)")
    parser.add_argument("--radius", type=float, default=steps.RADIUS, help="of the graph (default: %(default)s)")
    parser.add_argument(
        "--filter-cut", type=float, default=steps.FILTER_CUT, help="after the filter (default: %(default)s)"
    )
    parser.add_argument("--edge-cut", type=float, default=steps.EDGE_CUT, help="after the gnn (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="a PNG file to draw: efficiencies")
    parser.add_argument("--display", type=Path, help="a PNG file to draw: the first event")
    chosen = parser.parse_args(arguments)
    pipeline = Pipeline(
        chosen.models,
        chosen.gnn,
        radius=chosen.radius,
        filter_cut=chosen.filter_cut,
        edge_cut=chosen.edge_cut,
    )
    results: list[Matched] = []
    counts = np.zeros(6)
    spent = 0.0
    for number in range(chosen.events):
        event = make_event(chosen.hits, chosen.seed, number)
        order = hit_order(event.r, event.z)
        r, phi, z, particle = (column[order] for column in (event.r, event.phi, event.z, event.particle))
        features = hit_features(r, phi, z)
        begin = time.perf_counter()
        labels = pipeline(features)
        spent += time.perf_counter() - begin
        results.append(match(labels, particle, event.pt, event.eta))
        pairs, kept = pipeline.edges(features)
        true = true_edges(particle)
        names = [edges[0] * len(event) + edges[1] for edges in (true, pairs, kept)]
        counts += [
            len(event),
            true.shape[1],
            np.isin(names[0], names[1]).sum(),
            np.isin(names[0], names[2]).sum(),
            pairs.shape[1],
            kept.shape[1],
        ]
        if not number and chosen.display:
            draw_event(r, phi, z, labels, chosen.display)
        if not number:
            shares = [f"{same_particle(edges, particle).mean():.3f}" for edges in (pairs, kept)]
            print(f"first event: of one particle are {shares[0]} of the edges, {shares[1]} of those kept")  # noqa: T201
    hits, true_pairs, in_graph, in_kept, pairs_made, pairs_kept = counts
    print(  # noqa: T201
        f"graph: {in_graph / true_pairs:.4f} of the true edges, {pairs_made / hits:.1f} edges per hit\n"
        f"filter: {in_kept / true_pairs:.4f} of the true edges, {pairs_kept / hits:.1f} edges per hit\n"
        f"{spent / chosen.events:.3f} s per event\n\n" + performance_table(together(results))
    )
    if chosen.plot:
        draw_efficiency(together(results), chosen.plot)


if __name__ == "__main__":
    main()
