"""The module that compares the scores of hits with their truth, over a whole job."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evproc.framework import Columns, InputTag, Job, Parameter
from evproc.framework.new_files import in_one_step
from evproc.producers.pictures import PictureAnalyzer

from .performance import plot_performance, summary
from .set_up import notes


class EmTrackMichelPerformance(PictureAnalyzer):
    """Draws confusion matrix and Michel ROC curve, and prints the figures; both say whether the weights are trained."""

    class Config(PictureAnalyzer.Config):
        """What is compared, and the picture."""

        truth: InputTag = Parameter("Hit_truth", description="true classes of hits: 0 track, 1 em, 2 none")
        is_michel: InputTag = Parameter("Hit_michel", description="whether hits are of Michel electrons")
        track: InputTag = Parameter("hits:track", description="scores")
        em: InputTag = Parameter("hits:em", description="scores")
        none: InputTag = Parameter("hits:none", description="scores")
        michel: InputTag = Parameter("hits:michel", description="scores")
        plot: str = Parameter(description="file of the picture, PNG")
        model_file: str = Parameter(
            "", description="the model's ONNX file on this machine, which says whether it is trained", placement=True
        )
        max_hits: int = Parameter(2_000_000, description="hits that are compared at most; the rest is left out", gt=0)

    config: Config

    def begin_job(self, job: Job) -> None:
        """Begin with no hits."""
        self._hits = 0
        self._parts: list[list[np.ndarray]] = [[] for _ in range(6)]

    def analyze_columns(self, columns: Columns) -> None:
        """Keep truth and scores of each hit."""
        if self._hits >= self.config.max_hits:
            return
        config = self.config
        tags = (config.truth, config.is_michel, config.track, config.em, config.none, config.michel)
        for parts, tag in zip(self._parts, tags, strict=True):
            parts.append(columns.jagged(tag)[1].copy())
        self._hits += len(self._parts[0][-1])

    def commit(self) -> None:
        """Draw the picture, under a temporary name first, and print the figures."""
        joined = [np.concatenate([np.empty(0, np.float32), *parts]) for parts in self._parts]
        truth, michel = joined[0].astype(np.int64), joined[1].astype(np.bool_)
        classes, score = np.stack(joined[2:5], axis=1), joined[5]
        weights = notes(Path(self.config.model_file))["weights"]
        with in_one_step(self.config.plot) as part:
            plot_performance(truth, michel, classes, score, part, weights)
        print(summary(truth, michel, classes, score, weights))  # noqa: T201
