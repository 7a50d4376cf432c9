"""The module that compares FACILE and the charge sum with the truth, over a whole job."""

from __future__ import annotations

import numpy as np

from evproc.framework import Columns, InputTag, Job, Parameter
from evproc.framework.new_files import in_one_step
from evproc.producers.pictures import PictureAnalyzer

from .performance import plot_performance


class FacilePerformance(PictureAnalyzer):
    """Plots response and resolution of FACILE and of the charge sum against the true energy."""

    class Config(PictureAnalyzer.Config):
        """What is compared, and the picture."""

        true: InputTag = Parameter("HBHEChannel_genEnergy", description="true energies of the channels")
        facile: InputTag = Parameter("energy", description="energies by FACILE")
        charge_sum: InputTag = Parameter("charge_sum", description="energies by the charge sum")
        plot: str = Parameter(description="file of the picture, PNG")
        max_channels: int = Parameter(
            4_000_000, description="channels that are compared at most; the rest is left out", gt=0
        )

    config: Config

    def begin_job(self, job: Job) -> None:
        """Begin with no channels."""
        self._channels = 0
        self._parts: list[list[np.ndarray]] = [[], [], []]

    def analyze_columns(self, columns: Columns) -> None:
        """Keep the three energies of each channel."""
        if self._channels >= self.config.max_channels:
            return
        tags = (self.config.true, self.config.facile, self.config.charge_sum)
        for parts, tag in zip(self._parts, tags, strict=True):
            parts.append(columns.jagged(tag)[1].copy())
        self._channels += len(self._parts[0][-1])

    def commit(self) -> None:
        """Draw the picture, under a temporary name first."""
        true, facile, charge_sum = (np.concatenate([np.empty(0, np.float32), *parts]) for parts in self._parts)
        with in_one_step(self.config.plot) as part:
            plot_performance(true, facile, charge_sum, part)
