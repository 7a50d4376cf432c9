"""Track finding as modules: by a server, as one model or as an ensemble, and in this process."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from evproc.framework import Event, Fault, Input, InputTag, Job, Parameter, Producer
from evproc.framework.errors import did_you_mean
from evproc.sonic_client import Client, InferenceProducer

from . import steps
from .detector import Array
from .features import hit_features, hit_order
from .pipeline import GRAPH_NETWORKS, Pipeline, missing_networks

HIT_FIELDS = ("r", "phi", "z")


class TrackFinder(InferenceProducer):
    """The track of each hit, by Exa.TrkX on a server: (hits,) int64, numbered from 0; a hit alone is a track too.

    An event is one request. The hits are sent from the origin outwards, whatever their order in the event.
    """

    model_inputs = {"FEATURES": "float32[?,3]"}
    model_outputs = {"LABELS": "int64[?]"}
    produces = "var * int64"

    class Config(InferenceProducer.Config):
        """Hits in, tracks out."""

        client: Client = Parameter(
            Client(model="exatrkx"), description="the model, `exatrkx` or `exatrkx_ensemble`, and how it is asked"
        )
        hits: InputTag = Input("Hit", fields=HIT_FIELDS, description="collection of hits: r (mm), phi (rad), z (mm)")

    config: Config

    def acquire(self, event: Event) -> Mapping[str, Array]:
        """The scaled coordinates of the hits: (hits, 3) float32."""
        return {"FEATURES": _outwards(event[self.config.hits])[1]}

    def produce(self, event: Event, outputs: Mapping[str, Array]) -> Array:
        """The track of each hit, in the event's order: (hits,) int64."""
        hits = event[self.config.hits]
        return _in_order(hit_order(hits.r, hits.z), outputs["LABELS"])


class LocalTrackFinder(Producer):
    """The track of each hit, by Exa.TrkX with onnxruntime in this process: (hits,) int64, as `TrackFinder` gives it."""

    produces = "var * int64"
    threaded = True

    class Config(Producer.Config):
        """Hits in, tracks out."""

        hits: InputTag = Input("Hit", fields=HIT_FIELDS, description="collection of hits: r (mm), phi (rad), z (mm)")
        models: str = Parameter("models", description="the model repository with the networks", placement=True)
        gnn: str = Parameter("exatrkx_gnn", description="the graph network: exatrkx_gnn or exatrkx_interaction")
        radius: float = Parameter(steps.RADIUS, description="largest distance of joined hits, in the embedding", gt=0)
        neighbours: int = Parameter(steps.NEIGHBOURS, description="most hits that one is joined to", ge=1)
        filter_cut: float = Parameter(
            steps.FILTER_CUT, description="least score of an edge after the filter", ge=0, le=1
        )
        edge_cut: float = Parameter(steps.EDGE_CUT, description="least score of an edge after the network", ge=0, le=1)

    config: Config

    def check(self) -> list[Fault]:
        """Whether networks and libraries are there."""
        gnn, models = self.config.gnn, self.config.models
        if gnn not in GRAPH_NETWORKS:
            near = did_you_mean(gnn, GRAPH_NETWORKS)
            return [Fault(f"there is no graph network '{gnn}'{near}", self.label, "gnn", self.where)]
        absent = missing_networks(models, gnn)
        faults = [
            Fault(f"the network '{name}' is not in '{models}'", self.label, "models", self.where) for name in absent
        ]
        for library, extra in (("onnxruntime", "server"), ("scipy", "systems")):
            if find_spec(library) is None:
                text = f"it needs {library}: pip install 'evproc[{extra}]'"
                faults.append(Fault(text, self.label, where=self.where))
        return faults

    def begin_job(self, job: Job) -> None:
        """Open the networks."""
        settings = self.config
        self._pipeline = Pipeline(
            settings.models,
            settings.gnn,
            radius=settings.radius,
            neighbours=settings.neighbours,
            filter_cut=settings.filter_cut,
            edge_cut=settings.edge_cut,
        )

    def produce(self, event: Event) -> Array:
        """The track of each hit, in the event's order: (hits,) int64."""
        order, features = _outwards(event[self.config.hits])
        return _in_order(order, self._pipeline(features))


def _outwards(hits: Any) -> tuple[Array, Array]:
    """The order from the origin outwards, and the features in it."""
    order = hit_order(hits.r, hits.z)
    return order, hit_features(hits.r[order], hits.phi[order], hits.z[order])


def _in_order(order: Array, labels: Array) -> Array:
    """Labels of sorted hits, for the hits as they were."""
    found = np.empty_like(labels)
    found[order] = labels
    return found
