"""Exa.TrkX in this process: the steps one after another, with the networks in onnxruntime. No server is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import steps
from .detector import Array

GRAPH_NETWORKS = ("exatrkx_gnn", "exatrkx_interaction")
"""The models that may give edges their last score."""


class Pipeline:
    """From features to tracks, as the models `exatrkx` and `exatrkx_ensemble` compute it."""

    def __init__(
        self,
        models: str | Path,
        gnn: str = "exatrkx_gnn",
        *,
        radius: float = steps.RADIUS,
        neighbours: int = steps.NEIGHBOURS,
        filter_cut: float = steps.FILTER_CUT,
        edge_cut: float = steps.EDGE_CUT,
    ) -> None:
        """models: the model repository; gnn: its graph network, one of `GRAPH_NETWORKS`.

        raises: onnxruntime's NoSuchFile if a network is not there (see `missing_networks`)
        """
        self.radius, self.neighbours = radius, neighbours
        self.filter_cut, self.edge_cut = filter_cut, edge_cut
        names = ("exatrkx_embedding", "exatrkx_filter", gnn)
        self._embedding, self._filter, self._gnn = (_session(Path(models), name) for name in names)

    def edges(self, features: Array) -> tuple[Array, Array]:
        """The graph before and after the filter: (2, edges) int64 each. features: (hits, 3) float32."""
        points = self._embedding.run(None, {"FEATURES": features})[0]
        pairs = steps.radius_graph(points, self.radius, self.neighbours)
        scores = self._filter.run(None, {"FEATURES": features, "EDGES": pairs})[0]
        return pairs, steps.keep_edges(pairs, scores, self.filter_cut)

    def __call__(self, features: Array) -> Array:
        """The track of each hit, (hits,) int64. features: (hits, 3) float32, of `features.hit_features`."""
        edges = self.edges(features)[1]
        scores = self._gnn.run(None, {"FEATURES": features, "EDGES": edges})[0]
        return steps.tracks(len(features), edges, scores, self.edge_cut)


def missing_networks(models: str | Path, gnn: str) -> list[str]:
    """Those of the three networks whose file is not in the repository."""
    names = ("exatrkx_embedding", "exatrkx_filter", gnn)
    return [name for name in names if not (Path(models) / name / "1" / "model.onnx").exists()]


def _session(models: Path, name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(models / name / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])
