"""The top tagger as a module: how likely each jet is that of a top quark, by inference on a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evproc.framework import Event, Input, InputTag, Parameter
from evproc.sonic_client import Client, InferenceProducer

from .images import jet_images

Floats = npt.NDArray[np.float32]

AXIS = ("pt", "eta", "phi")
LINK = ("jetIdx", "pFCandsIdx")


class TopTaggerProducer(InferenceProducer):
    """Probability that a jet is that of a top quark, for each jet: (jets,) float32.

    Jets and their constituents are three collections, as in CMS's PFNano: jets, particles, and pairs of a jet and one of its
    particles. A picture has 602 kB, so many events never have theirs at once: `acquire` pauses when the budget of work
    in flight is used up.
    """

    model_inputs = {"image": "float32[224,224,3]"}
    model_outputs = {"scores": "float32[2]"}
    produces = "var * float32"

    class Config(InferenceProducer.Config):
        """Jets in, probabilities out."""

        client: Client = Parameter(Client(model="top_tagger"), description="the model, and how it is asked")
        jets: InputTag = Input("FatJet", fields=AXIS, description="collection of jets")
        candidates: InputTag = Input("PFCands", fields=AXIS, description="collection of particles")
        links: InputTag = Input(
            "FatJetPFCands", fields=LINK, description="pairs of a jet and a particle of it; jet -1 is none"
        )

    config: Config

    def acquire(self, event: Event) -> Mapping[str, Floats]:
        """The picture of each jet: (jets, 224, 224, 3) float32."""
        names = self.config
        return {"image": images_of(event[names.jets], event[names.candidates], event[names.links])}

    def produce(self, event: Event, outputs: Mapping[str, Floats]) -> Floats:
        """The probability of a top: (jets,) float32."""
        return outputs["scores"][:, 1]


def images_of(jets: Any, candidates: Any, links: Any) -> Floats:
    """The pictures of an event's jets, whose particles are told by pairs of indices.

    jets, candidates: have pt (GeV), eta, phi (rad): (jets,), (candidates,)
    links:            has jetIdx, pFCandsIdx: (pairs,) integers; pairs of jet -1 are left out
    returns:          (jets, 224, 224, 3) float32
    raises IndexError: there is no such candidate; ValueError: as `jet_images`
    """
    paired = links.jetIdx >= 0
    which = links.pFCandsIdx[paired]
    if len(which) and which.min() < 0:
        raise IndexError(f"a jet's particle has the index {which.min()}")
    return jet_images(
        jets.pt,
        jets.eta,
        jets.phi,
        candidates.pt[which],
        candidates.eta[which],
        candidates.phi[which],
        links.jetIdx[paired],
    )
