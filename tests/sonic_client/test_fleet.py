"""Circuits, balancing, turns, health, the list of servers, load counts, hedges: decisions, without a loop or a clock."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evproc.framework.errors import RequestRejected, ServerBusy, ServerUnavailable
from evproc.sonic_client.balancing import Balancer, Balancing
from evproc.sonic_client.circuit import Circuit, CircuitBreaker, CircuitState
from evproc.sonic_client.fleet import Server, Turns
from evproc.sonic_client.health import Change, Health
from evproc.sonic_client.hedging import Hedge, Hedging
from evproc.sonic_client.latency import LatencyRecord
from evproc.sonic_client.model_loading import LoadCount
from evproc.sonic_client.retry import (
    SHORTEST_HELD,
    Again,
    Answer,
    Chain,
    Custom,
    DefaultValue,
    Failure,
    GiveUp,
    OtherServer,
    RetryAction,
    RetryBudget,
    SameServer,
    Where,
    default_chain,
    pause,
)
from evproc.sonic_client.roster import read_roster
from evproc.sonic_client.tensors import ModelMetadata, TensorSpec
from evproc.sonic_client.transport import is_retryable, status_error

F4 = np.dtype("f4")
MODEL = ModelMetadata("m", ("1",), "", 8, (TensorSpec("x", F4, ()),), (TensorSpec("y", F4, (2,)),))


def server(url: str, limit: int = 4, **more: Any) -> Server:
    return Server(url, None, limit, **more)  # type: ignore[arg-type]  # nothing is sent


def test_a_circuit_opens_tries_and_closes() -> None:
    """Failures in a row open it, one request tries after the pause, its success closes it."""
    circuit = Circuit(CircuitBreaker(failures=3, pause=1.0))
    assert [circuit.failed(0.0) for _ in range(3)] == [False, False, True]
    assert not circuit.allows(0.9)
    assert circuit.allows(1.0)
    circuit.began(1.0)
    assert circuit.state is CircuitState.HALF_OPEN
    assert not circuit.allows(1.0), "one request tries, not all"
    assert circuit.succeeded()
    assert circuit.allows(1.0)
    assert [circuit.failed(2.0) for _ in range(2)] == [False, False]


def test_the_pause_of_a_circuit_doubles_to_a_longest() -> None:
    """Each failed try doubles the pause; a success begins anew; a cancelled try leaves it to the next."""
    circuit = Circuit(CircuitBreaker(failures=1, pause=1.0, longest=4.0))
    now, pauses = 0.0, []
    for _ in range(4):
        circuit.began(now)
        assert circuit.failed(now)
        pauses.append(circuit.again_at - now)
        now = circuit.again_at
    assert pauses == [1, 2, 4, 4]
    circuit.began(now)
    circuit.gave_up()
    assert circuit.allows(now)
    circuit.succeeded()
    circuit.failed(now)
    assert circuit.again_at - now == 1


@given(st.lists(st.tuples(st.sampled_from(["began", "ok", "bad", "gone", "now"]), st.floats(0, 3)), max_size=60))
def test_a_circuit_never_shuts_for_good(steps: list[tuple[str, float]]) -> None:
    """Whatever happens in whatever order, after the longest pause a request is allowed, unless one is trying."""
    circuit = Circuit(CircuitBreaker(failures=2, pause=0.5, longest=2.0))
    now = 0.0
    for what, wait in steps:
        now += wait
        if what == "began":
            circuit.began(now)
        elif what == "ok":
            circuit.succeeded()
        elif what == "bad":
            circuit.failed(now)
        elif what == "gone":
            circuit.gave_up()
        else:
            circuit.try_now()
    circuit.gave_up()  # who tries ends in some way
    assert circuit.allows(now + 2.0)


def test_least_outstanding_is_a_share_of_what_a_server_may_have() -> None:
    """A server with a small limit is full sooner than one with a large limit."""
    small, large = server("a", 2), server("b", 8)
    balancer = Balancer("m")
    chosen = []
    for _ in range(10):
        found, _ = balancer.choose([small, large], 0.0)
        assert found is not None
        found.take("m", 0.0)
        chosen.append(found.url)
    assert (chosen.count("a"), chosen.count("b")) == (2, 8)
    assert balancer.choose([small, large], 0.0) == (None, True)


def test_round_robin_gives_each_its_turn() -> None:
    """One after the other, also when one was left out for a while."""
    servers = [server(name) for name in "abc"]
    balancer = Balancer("m", Balancing.ROUND_ROBIN)
    chosen = [balancer.choose(servers, 0.0).server.url for _ in range(6)]  # type: ignore[union-attr]
    assert chosen == ["a", "b", "c"] * 2


def test_the_fastest_is_the_one_that_is_expected_back_first() -> None:
    """Latency times what is under way, itself included: a fast server gets more, not all."""
    fast, slow = server("fast", 100), server("slow", 100)
    fast.latency["m"], slow.latency["m"] = 0.01, 0.03
    balancer = Balancer("m", Balancing.FASTEST)
    for _ in range(8):
        found, _ = balancer.choose([slow, fast], 0.0)
        assert found is not None
        found.take("m", 0.0)
    assert (fast.outstanding, slow.outstanding) == (6, 2)


def test_the_fallback_is_for_when_no_other_may_be_asked() -> None:
    """Preferred servers go before others, and others before the job's own."""
    own, one, two = server("own", fallback=True), server("one"), server("two", name="near")
    balancer = Balancer("m", prefer=["near"])
    assert balancer.choose([own, one, two], 0.0).server is two
    two.ready = False
    assert balancer.choose([own, one, two], 0.0).server is one
    one.busy_until = 1.0
    assert balancer.choose([own, one, two], 0.0).server is own
    own.ready = False
    assert balancer.choose([own, one, two], 0.0) == (None, False)
    assert balancer.anyhow([own, one, two], 0.0) is one


class Line:
    """A queue of requests that all want the one server."""

    def __init__(self, name: str, waiting: int, one: Server, order: list[str]) -> None:
        self.name, self.waiting, self.one, self.order = name, waiting, one, order

    def send_one(self) -> bool | None:
        if not self.waiting:
            return None
        if self.one.full:
            return False
        self.one.take("m", 0.0)
        self.waiting -= 1
        self.order.append(self.name)
        return True


def test_places_are_given_out_in_turn() -> None:
    """A queue with a thousand requests delays one with a single request by one round."""
    one, order, turns = server("a", 1), [], Turns()  # type: ignore[var-annotated]
    long, short = Line("long", 1000, one, order), Line("short", 3, one, order)
    for line in (long, short):
        turns.join(line)
    for _ in range(8):
        turns.serve()
        one.give_back()
    assert order == ["long", "short"] * 3 + ["long"] * 2
    assert not turns.others(long)


def failure(error: Exception, **changes: Any) -> Failure:
    values: dict[str, Any] = {"server": "a", "attempts": 1, "used": 0, "elapsed": 0.0, "rows": 3, "metadata": MODEL}
    values |= {"outputs": (), "others": 0, "dead": False, "fallback": False, "random": Random(1)}
    return Failure(error, **(values | changes))  # type: ignore[arg-type]


def chain(actions: tuple[RetryAction, ...], budget: int = 100, patience: float = 5.0) -> Chain:
    return Chain(actions, patience, RetryBudget(0.0, budget), Random(1))


def test_the_usual_chain_is_same_other_fallback() -> None:
    """In this order, each as often as it may; then the last error, with the number of attempts."""
    made = chain(default_chain(3))
    seen = []
    for attempt in range(1, 6):
        decision = made.decide(
            failure(ServerUnavailable("gone"), attempts=attempt, others=int(attempt < 4), fallback=attempt < 5), 1e9
        )
        seen.append(decision.where if isinstance(decision, Again) else str(decision.error))  # type: ignore[union-attr]
    assert seen == [Where.SAME, Where.SAME, Where.OTHER, Where.FALLBACK, "gone (after 5 attempts)"]


def test_a_dead_server_is_left_at_once_for_another() -> None:
    """No try is wasted on a server whose circuit is open, if there is another."""
    decision = chain(default_chain(3)).decide(failure(ServerUnavailable("gone"), dead=True, others=1), 1e9)
    assert decision == Again(Where.OTHER)


def test_terminal_errors_end_at_once() -> None:
    """What would fail everywhere is sent nowhere again."""
    error = RequestRejected("no")
    assert chain(default_chain(3)).decide(failure(error, others=5, fallback=True), 1e9) == GiveUp(error)


def test_a_busy_server_uses_up_no_action() -> None:
    """Refusals because of too much to do are waited out as long as patience lasts, then count as failures."""
    made = chain((SameServer(tries=1),))
    for _ in range(50):
        decision = made.decide(failure(ServerBusy("full"), elapsed=4.0), 1e9)
        assert isinstance(decision, Again)
        assert decision.where is Where.ANY
        assert decision.after <= 1.0
    decision = made.decide(failure(ServerBusy("full"), elapsed=6.0), 1e9)
    assert isinstance(decision, Again)
    assert decision.where is Where.SAME
    assert isinstance(made.decide(failure(ServerBusy("full"), elapsed=6.0), 1e9), GiveUp)


def test_the_budget_bounds_the_retries_of_a_job() -> None:
    """When it is used up no action sends again; a default value still stands in."""
    made = chain((SameServer(tries=9), DefaultValue(value=-1.0)), budget=2)
    kinds = [type(made.decide(failure(ServerUnavailable("gone")), 1e9)) for _ in range(3)]
    assert kinds == [Again, Again, Answer]


def test_waiting_for_a_dead_server_costs_tries_and_no_budget() -> None:
    """The only server is dead: nothing is sent but by the last try, so the budget is for later; tries bound the waiting."""
    made = chain((SameServer(tries=3, back_off=0.0),), budget=1)
    *waits, last, end = [made.decide(failure(ServerUnavailable("gone"), dead=True), 1e9) for _ in range(4)]
    assert waits == [Again(Where.SAME, SHORTEST_HELD, hold=True)] * 2
    assert made.budget.retries == 1
    assert last == Again(Where.SAME)
    assert isinstance(end, GiveUp)


def test_no_pause_goes_beyond_the_deadline() -> None:
    """A retry that could only begin after the deadline is none."""
    made = chain((SameServer(tries=9, back_off=1.0), OtherServer()))
    assert made.decide(failure(ServerUnavailable("gone"), others=1), 0.4) == Again(Where.OTHER)


@given(st.integers(0, 200), st.integers(0, 1 << 30))
def test_pauses_double_with_jitter(before: int, seed: int) -> None:
    """A pause lies between one half and the whole of the doubled one, and never above the longest."""
    whole = min(2.0, 0.05 * 2.0 ** min(before, 60))
    assert whole / 2 <= pause(0.05, 2.0, before, Random(seed)) <= whole


class Patient(RetryAction):
    """Somebody else's action."""

    seconds: float = 1.0

    def decide(self, failure: Failure) -> Again | None:
        """Wait, and ask anybody."""
        return None if failure.terminal else Again(Where.ANY, self.seconds)


def test_an_action_of_another_package_is_named_by_its_place() -> None:
    """`Custom` loads it with its parameters; what is not there is an error that says so."""
    custom = Custom(action=f"{__name__}:Patient", parameters={"seconds": 3.0})
    assert chain((custom,)).decide(failure(ServerUnavailable("gone")), 1e9) == Again(Where.ANY, 3.0)
    for wrong in ("nowhere.at_all:X", f"{Circuit.__module__}:Circuit", f"{Circuit.__module__}:Nothing", "x"):
        with pytest.raises(ValueError, match=r"retry action|no RetryAction"):
            Custom(action=wrong).load()


@pytest.mark.parametrize(
    ("status", "words", "busy"),
    [
        ("RESOURCE_EXHAUSTED", "too busy", True),
        ("UNAVAILABLE", "[request id: 1] Exceeds maximum queue size", True),
        ("UNAVAILABLE", "failed to connect to all addresses", False),
    ],
)
def test_who_says_that_it_has_too_much_to_do_is_busy(status: str, words: str, busy: bool) -> None:
    """A saturated server is told from a dead one by what it says; both may be asked again."""
    error = status_error(status, words, server="a")
    assert isinstance(error, ServerBusy) is busy
    assert is_retryable(error)


def test_servers_come_from_three_places(tmp_path: Path) -> None:
    """Site, workflow and file, in this order, each address once, with names."""
    file = tmp_path / "servers.txt"
    file.write_text("# ours\nnear=grpc://c:1  # the small one\n\ngrpc://b:1\n")
    roster = read_roster(
        ["grpc://b:1"],
        str(file),
        {"EVPROC_SERVERS": "grpc://d:1, ", "SONIC_LOCAL_BALANCER_HOST": "a", "SONIC_LOCAL_BALANCER_PORT": "9"},
    )
    assert [(entry.name, entry.url) for entry in roster.entries.values()] == [
        ("SONIC_LOCAL_BALANCER", "grpc://a:9"),
        ("grpc://d:1", "grpc://d:1"),
        ("grpc://b:1", "grpc://b:1"),
        ("near", "grpc://c:1"),
    ]
    assert not roster.faults
    assert not roster.warnings


def test_what_is_wrong_with_a_list_of_servers_is_told_with_its_place(tmp_path: Path) -> None:
    """Wrong addresses, names given twice, a file that is not there, half a site's server."""
    roster = read_roster(
        ["gpu1", "n=grpc://a:1", "n=grpc://b:1"], str(tmp_path / "no"), {"SONIC_LOCAL_BALANCER_HOST": "x"}
    )
    assert [place for place, _ in roster.faults] == ["servers", "servers", "servers_file"]
    assert "two servers are called 'n'" in roster.faults[1][1]
    assert "SONIC_LOCAL_BALANCER_PORT is not" in roster.warnings[0]


def test_one_missed_poll_is_no_outage() -> None:
    """Two misses in a row take a server out; one answer brings it back."""
    health = Health()
    found = [health.saw(ready) for ready in (True, False, True, False, False, False, True, True)]
    assert found == [None, None, None, None, Change.DOWN, None, Change.UP, None]


def test_models_are_loaded_once_and_unloaded_with_the_last() -> None:
    """The first who needs a model has it loaded, the last has it unloaded; nobody's is unloaded by nobody."""
    count = LoadCount()
    assert [count.take("s", "m") for _ in range(3)] == [True, False, False]
    assert count.take("s", "n")
    assert [count.give("s", "m") for _ in range(4)] == [False, False, True, False]
    assert count.all() == [("s", "n")]
    assert count.take("s", "m")


def test_hedges_know_what_is_late_and_stay_within_their_share() -> None:
    """The delay is a quantile of the latencies so far; of a hundred requests ten may be hedged."""
    hedging, record = Hedging(Hedge(quantile=0.9, share=0.1)), LatencyRecord()
    assert hedging.delay(record) is None
    for number in range(100):
        record.add(0.01 * number, 1)
        hedging.delay(record)
    hedging._known = -1000
    delay = hedging.delay(record)
    assert delay is not None
    assert 0.85 <= delay <= 0.95
    assert sum(hedging.take() for _ in range(100)) == 11
