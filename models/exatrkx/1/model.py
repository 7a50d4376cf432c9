"""All of Exa.TrkX as one model of Triton's Python backend; the networks are the ONNX files of the models beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnxruntime
import steps  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]  # lies beside this file
from step_model import StepModel  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]


class TritonPythonModel(StepModel):  # type: ignore[misc]  # unknown to mypy
    """One instance of the model."""

    def prepare(self) -> None:
        """Open the three networks."""
        self.embedding, self.filter, self.gnn = (
            self._session(name) for name in ("exatrkx_embedding", "exatrkx_filter", self.setting("gnn"))
        )
        self.radius, self.neighbours = float(self.setting("radius")), int(self.setting("neighbours"))
        self.filter_cut, self.edge_cut = float(self.setting("filter_cut")), float(self.setting("edge_cut"))

    def _session(self, model: str) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = int(os.environ.get("EVPROC_ONNX_THREADS", "1"))
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        file = Path(self.folder).parent / model / "1" / "model.onnx"
        return onnxruntime.InferenceSession(file, options, providers=providers)

    def step(self, features: Any) -> Any:
        """FEATURES (hits, 3) float32 to LABELS (hits,) int64."""
        points = self.embedding.run(None, {"FEATURES": features})[0]
        edges = steps.radius_graph(points, self.radius, self.neighbours)
        scores = self.filter.run(None, {"FEATURES": features, "EDGES": edges})[0]
        edges = steps.keep_edges(edges, scores, self.filter_cut)
        scores = self.gnn.run(None, {"FEATURES": features, "EDGES": edges})[0]
        return steps.tracks(len(features), edges, scores, self.edge_cut)
