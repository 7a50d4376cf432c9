"""The module that draws how well tops are told from other jets, and what the jets look like, over a whole job."""

from __future__ import annotations

import numpy as np

from evproc.framework import Columns, Input, InputTag, Job, Parameter
from evproc.producers.pictures import PictureAnalyzer

from .images import SIDE, jet_pixels, summed_image
from .performance import QCD, TOP, Roc, performance_text, plot_images, plot_roc, plot_scores, roc_curve
from .producer import AXIS, LINK
from .setup import weights_of

PIECE = 100_000
"""Pairs of jet and particle whose pixels are computed at a time: 5 MB."""


class TopTaggerPerformance(PictureAnalyzer):
    """Draws the ROC curve of the top tagger, and the average picture of top and of QCD jets.

    Without labels, as in measured events, it draws how often which score occurs, and the average picture of all jets.
    After the job, `analyzer.roc` is the curve, and `analyzer.sums` has for each label the sum of pictures and their number.
    """

    class Config(PictureAnalyzer.Config):
        """Which jets, and the pictures."""

        score: InputTag = Parameter("top_score", description="probabilities of a top, one for each jet")
        label: InputTag | None = Input("FatJet_label", description="1: top, 0: QCD, others are left out; none: unknown")
        jets: InputTag = Input("FatJet", fields=AXIS, description="collection of jets")
        candidates: InputTag = Input("PFCands", fields=AXIS, description="collection of particles")
        links: InputTag = Input("FatJetPFCands", fields=LINK, description="pairs of a jet and a particle of it")
        title: str = Parameter("top tagger", description="name of the network in the picture")
        model_file: str = Parameter(
            "", description="the model's file, whose notes say whether it was trained; may be absent"
        )
        plot: str = Parameter("", description="file of the ROC curve, PNG; empty: none")
        images: str = Parameter("", description="file of the average pictures, PNG; empty: none")

    config: Config
    written = ("plot", "images")

    def begin_job(self, job: Job) -> None:
        """Begin with no jets."""
        self.roc: Roc | None = None
        self._scores: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self.sums = {kind: (np.zeros((SIDE, SIDE)), 0) for kind in (TOP, QCD)}

    def analyze_columns(self, columns: Columns) -> None:
        """Keep scores and labels, and add the jets to the average pictures."""
        names = self.config
        offsets, scores = columns.jagged(names.score)
        labels = np.full(len(scores), TOP) if names.label is None else columns.jagged(names.label)[1]
        self._scores.append(scores.copy())
        self._labels.append(labels.copy())
        for kind, (total, jets) in self.sums.items():
            self.sums[kind] = total, jets + int(np.count_nonzero(labels == kind))
        jet_pt, jet_eta, jet_phi = (columns.jagged(f"{names.jets}_{name}")[1] for name in AXIS)
        pt, eta, phi = (columns.jagged(f"{names.candidates}_{name}")[1] for name in AXIS)
        particles = columns.jagged(f"{names.candidates}_{AXIS[0]}")[0]
        pairs, jet = columns.jagged(f"{names.links}_{LINK[0]}")
        which = columns.jagged(f"{names.links}_{LINK[1]}")[1]
        events = np.repeat(np.arange(len(columns)), np.diff(pairs))
        for first in range(0, len(jet), PIECE):
            paired = first + np.flatnonzero(jet[first : first + PIECE] >= 0)
            at = which[paired] + particles[events[paired]]
            owner = jet[paired] + offsets[events[paired]]
            where, fractions = jet_pixels(jet_pt, jet_eta, jet_phi, pt[at], eta[at], phi[at], owner)
            for kind, (total, _) in self.sums.items():
                total += summed_image(where, fractions, labels == kind)

    def commit(self) -> None:
        """Say the figures, and draw the pictures, under temporary names first."""
        weights = weights_of(self.config.model_file)
        title = f"{self.config.title}, {weights}" if weights else self.config.title
        scores = np.concatenate([np.empty(0, np.float32), *self._scores])
        if self.sums[TOP][1] and self.sums[QCD][1]:
            self.roc = roc_curve(scores, np.concatenate(self._labels))
            print(f"{title}: {performance_text(self.roc)}")  # noqa: T201
        if self.config.plot and self.roc:
            plot_roc(self.roc, self.config.plot, title)
        elif self.config.plot:
            plot_scores(scores, self.config.plot, title)
        if self.config.images:
            names = {TOP: "all jets"} if self.config.label is None else {TOP: "top", QCD: "QCD"}
            plot_images({name: self.sums[kind] for kind, name in names.items()}, self.config.images)
