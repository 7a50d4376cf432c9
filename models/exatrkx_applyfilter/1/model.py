"""Exa.TrkX, step 4: the edges that the filter keeps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "exatrkx" / "1"))

import steps  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]
from step_model import StepModel  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]


class TritonPythonModel(StepModel):  # type: ignore[misc]  # unknown to mypy
    """One instance of the model."""

    def prepare(self) -> None:
        """Read the setting."""
        self.cut = float(self.setting("cut"))

    def step(self, edges: Any, scores: Any) -> Any:
        """EDGES (2, edges) int64 and SCORES (edges, 1) float32 to KEPT (2, kept) int64."""
        return steps.keep_edges(edges, scores, self.cut)
