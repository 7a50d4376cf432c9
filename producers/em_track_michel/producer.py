"""EmTrackMichelId as a module: scores of every hit, by inference on a server.

An event of ProtoDUNE-SP has some ten thousand hits, and a patch is 9 kB: what is kept of an event are its images, 1.4 MB at
the toy's size, and patches are made as requests go out (`Pieces`). `client.max_rows` is the published limit of a request:
256 hits, or 16,384 with `client.max_request=152`, for then a request is 151 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evproc.framework import Event, Input, InputTag, Parameter
from evproc.sonic_client import Client, InferenceProducer, Pieces

from .network import CLASSES, INPUT, MICHEL, MODEL
from .patches import PatchMaker, cluster_scores, fiducial, wire_images

Floats = npt.NDArray[np.float32]


class EmTrackMichelProducer(InferenceProducer):
    """What each hit belongs to: track, em (shower or Michel electron) and none, adding up to one, and michel, 0 to 1.

    track, em, none, michel: (hits,) float32; fiducial: (hits,) bool, whether the whole patch is on the plane;
    cluster: (clusters,) float32, how much each cluster looks like a track, of its hits' scores.
    """

    model_inputs = {INPUT: "float32[48, 48, 1]"}
    model_outputs = {CLASSES: "float32[3]", MICHEL: "float32[1]"}
    produces = {
        "track": "var * float32",
        "em": "var * float32",
        "none": "var * float32",
        "michel": "var * float32",
        "fiducial": "var * bool",
        "cluster": "var * float32",
    }

    class Config(InferenceProducer.Config):
        """Waveforms and hits in, scores out."""

        client: Client = Parameter(Client(model=MODEL, max_rows=256), description="the model, and how it is asked")
        adc: InputTag = Input("adc", description="deconvolved waveforms, ADC: plane, wire, tick, in one row")
        wires: InputTag = Input("wires", description="wires of a plane")
        ticks: InputTag = Input("ticks", description="ticks of a waveform")
        hits: InputTag = Input(
            "Hit", fields=("plane", "wire", "time", "cluster"), description="hits; time in ticks, cluster -1 is none"
        )

    config: Config

    def acquire(self, event: Event) -> Pieces:
        """The patches of all hits, made as they are sent: (hits, 48, 48, 1) float32."""
        adc = event[self.config.adc].reshape(-1, event[self.config.wires], event[self.config.ticks])
        hits = event[self.config.hits]
        maker = PatchMaker(wire_images(adc), hits.plane, hits.wire, hits.time)
        return Pieces(len(maker), lambda start, stop: {INPUT: maker.patches(start, stop)}, maker.nbytes)

    def produce(self, event: Event, outputs: Mapping[str, Floats]) -> dict[str, npt.NDArray[Any]]:
        """The scores: see the class."""
        hits = event[self.config.hits]
        classes = outputs[CLASSES]
        clusters = int(hits.cluster.max(initial=-1)) + 1
        return {
            "track": classes[:, 0],
            "em": classes[:, 1],
            "none": classes[:, 2],
            "michel": outputs[MICHEL][:, 0],
            "fiducial": fiducial(hits.wire, hits.time, event[self.config.wires], event[self.config.ticks]),
            "cluster": cluster_scores(classes, hits.cluster, clusters),
        }
