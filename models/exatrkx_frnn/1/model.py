"""Exa.TrkX, step 2: the pairs of hits within a radius of each other."""

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
        """Read the settings."""
        self.radius, self.neighbours = float(self.setting("radius")), int(self.setting("neighbours"))

    def step(self, points: Any) -> Any:
        """EMBEDDING (hits, 8) float32 to EDGES (2, edges) int64."""
        return steps.radius_graph(points, self.radius, self.neighbours)
