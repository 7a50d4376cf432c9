"""Servers for tests of modules that do inference, and of clients: public, and made to fail.

    from evproc.framework.testing import run_module
    from evproc.sonic_client import Client, InferenceService, TensorSpec
    from evproc.sonic_client.testing import FakeModel, FakeServer, Unavailable

    def test_a_server_that_is_away_for_a_moment():
        with FakeServer([MODEL], faults=[Unavailable(), None]) as server:
            service = InferenceService(servers=[server.url])
            products = run_module(Scores(client=Client(model="scores")), EVENTS, services=[service])
        assert products == ...
        assert server.outcomes == ["refused", "answered"]

`FakeServer` speaks KServe v2 over gRPC on 127.0.0.1, in a thread (`with`) or in the loop of the test (`async
with`); `FakeProcess` runs one in a process, which can be killed, stopped and started again. `FakeModel` says
which tensors a model has, what it computes, and how long it takes. What may go wrong is a `Fault`; a script
of them is a list, a function of the request, `chance` (by lot) or `during` (by time). The page
docs/testing_inference.md has examples.
"""

from __future__ import annotations

from .fake import Condition, FakeServer
from .fake_faults import (
    Crash,
    Delay,
    Fault,
    GoAway,
    HalfOpen,
    Never,
    NotFinite,
    Refuse,
    Reject,
    Saturated,
    Truncated,
    Twice,
    Unavailable,
    WrongAnswer,
    WrongDtype,
    WrongName,
    WrongRows,
    WrongShape,
    chance,
    during,
)
from .fake_model import FakeModel, Received, lognormal, with_tail
from .fake_process import FakeProcess

__all__ = [
    "Condition",
    "Crash",
    "Delay",
    "FakeModel",
    "FakeProcess",
    "FakeServer",
    "Fault",
    "GoAway",
    "HalfOpen",
    "Never",
    "NotFinite",
    "Received",
    "Refuse",
    "Reject",
    "Saturated",
    "Truncated",
    "Twice",
    "Unavailable",
    "WrongAnswer",
    "WrongDtype",
    "WrongName",
    "WrongRows",
    "WrongShape",
    "chance",
    "during",
    "lognormal",
    "with_tail",
]
