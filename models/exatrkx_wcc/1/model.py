"""Exa.TrkX, step 6: tracks, the connected components of the graph."""

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

    def step(self, features: Any, edges: Any, scores: Any) -> Any:
        """FEATURES (hits, 3), EDGES (2, edges) int64 and SCORES (edges,) float32 to LABELS (hits,) int64."""
        return steps.tracks(len(features), edges, scores, self.cut)
