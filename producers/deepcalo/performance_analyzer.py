"""The module that compares DeepCalo and the sums of cells with the truth, over a whole job."""

from __future__ import annotations

import numpy as np

from evproc.framework import Columns, InputTag, Job, Parameter
from evproc.framework.new_files import in_one_step
from evproc.producers.pictures import PictureAnalyzer

from .performance import STYLES, plot_performance


class DeepCaloPerformance(PictureAnalyzer):
    """Plots response and resolution of DeepCalo and of the sums of cells against the true energy."""

    class Config(PictureAnalyzer.Config):
        """What is compared, and the picture."""

        true: InputTag = Parameter("Electron_genEnergy", description="true energies of the electrons")
        plain: InputTag = Parameter("cell_sum:plain", description="energies by the sum of all cells")
        calibrated: InputTag = Parameter("cell_sum:calibrated", description="energies by the calibrated sum")
        deepcalo: InputTag = Parameter("energy", description="energies by DeepCalo")
        plot: str = Parameter(description="file of the picture, PNG")
        max_electrons: int = Parameter(
            4_000_000, description="electrons that are compared at most; the rest is left out", gt=0
        )

    config: Config

    def begin_job(self, job: Job) -> None:
        """Begin with no electrons."""
        self._electrons = 0
        self._parts: list[list[np.ndarray]] = [[], [], [], []]

    def analyze_columns(self, columns: Columns) -> None:
        """Keep the four energies of each electron."""
        if self._electrons >= self.config.max_electrons:
            return
        tags = (self.config.true, self.config.plain, self.config.calibrated, self.config.deepcalo)
        for parts, tag in zip(self._parts, tags, strict=True):
            parts.append(columns.jagged(tag)[1].copy())
        self._electrons += len(self._parts[0][-1])

    def commit(self) -> None:
        """Draw the picture, under a temporary name first."""
        true, *methods = (np.concatenate([np.empty(0, np.float32), *parts]) for parts in self._parts)
        with in_one_step(self.config.plot) as part:
            plot_performance(true, dict(zip(STYLES, methods, strict=True)), part)
