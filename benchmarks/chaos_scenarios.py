"""What the chaos benchmark puts a job through: each scenario runs a job on servers that fail, and says what must come of it.

A scenario is a function of the number of events and a folder. It returns the outcome of its job, after it has made sure that
what it wanted to happen has happened. In most of them every event must come out once, in order, with its own value. In those
of `NAMED` the fault cannot be survived: then no event may have a wrong value, and the failed ones are named.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos_job import MODEL, Outcome, make, make_quick, run, write_repository
from evproc.framework import ExceptionPolicy
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.testing import (
    Delay,
    FakeProcess,
    FakeServer,
    Fault,
    GoAway,
    HalfOpen,
    Never,
    NotFinite,
    Received,
    Truncated,
    Twice,
    Unavailable,
    WrongShape,
    chance,
    lognormal,
    with_tail,
)

Scenario = Callable[[int, Path], Outcome]


def require(what: object, words: str) -> None:
    """The fault must have happened, else the scenario shows nothing."""
    if not what:
        raise AssertionError(f"the scenario did not happen: {words}")


# Real servers.


def triton_of(server: EmbeddedServer) -> psutil.Process:
    """The process of the server itself."""
    (found,) = psutil.Process(server.pid).children()
    return found


@contextmanager
def tritons(folder: Path, number: int) -> Iterator[list[EmbeddedServer]]:
    """Some real servers with the model."""
    repository = write_repository(folder / "models")
    servers = [EmbeddedServer(repository, log=folder / f"triton{one}.log") for one in range(number)]
    try:
        for server in servers:
            server.start_now()
        yield servers
    finally:
        for server in servers:
            server.stop_now()


def one_of_two_killed(events: int, folder: Path) -> Outcome:
    """kill -9 of one of two Tritons under load."""
    with tritons(folder, 2) as (one, two):
        process = triton_of(one)
        outcome = run([one.url, two.url], events, {events // 3: process.kill})
        process.wait(10)
    return outcome


def both_killed(events: int, folder: Path) -> Outcome:
    """kill -9 of both Tritons under load; then one comes back at its address."""
    with tritons(folder, 2) as (one, two):
        back: list[threading.Thread] = []

        def kill() -> None:
            for server in (one, two):
                triton_of(server).kill()
            back.append(threading.Thread(target=two.start_again))
            back[0].start()

        outcome = run([one.url, two.url], events, {events // 3: kill})
        require(back, "the servers were not killed")
        back[0].join()
        require(two.running, "the second server is not back")
    return outcome


def one_of_two_stopped(events: int, folder: Path) -> Outcome:
    """SIGSTOP of one of two Tritons under load, SIGCONT later."""
    with tritons(folder, 2) as (one, two):
        process = triton_of(one)
        actions = {events // 3: process.suspend, 2 * events // 3: process.resume}
        try:
            outcome = run([one.url, two.url], events, actions, timeout=1.0)
        finally:
            process.resume()
    return outcome


def the_only_one_stopped(events: int, folder: Path) -> Outcome:
    """SIGSTOP of the only Triton, SIGCONT after a second."""
    with tritons(folder, 1) as (one,):
        process = triton_of(one)

        def stop() -> None:
            process.suspend()
            timer = threading.Timer(1.0, process.resume)
            timer.daemon = True
            timer.start()

        try:
            return run([one.url], events, {events // 3: stop}, timeout=0.3)
        finally:
            process.resume()


def another_version(events: int, folder: Path) -> Outcome:
    """The only Triton comes back with another version of the model, which the client did not ask for."""
    with tritons(folder, 1) as (one,):
        other = write_repository(folder / "other", version="2", factor=3)

        def replace() -> None:
            one.stop_now()
            one.models = (other,)
            one.start_again()

        return run([one.url], events, {events // 3: replace}, version="1")


# Processes of fake servers.


def process_killed(events: int, folder: Path) -> Outcome:
    """kill -9 of the only server, again and again; each time it is started again at its address."""
    with FakeProcess(make) as server:

        def kill() -> None:
            server.kill()
            server.restart()

        return run([server.url], events, {events * part // 4: kill for part in (1, 2, 3)})


def refused(events: int, folder: Path) -> Outcome:
    """One of two servers is not there when the job begins, nor later: its address refuses connections."""
    absent = FakeProcess(make)
    with FakeProcess(make) as server:
        try:
            return run([absent.hold(), server.url], events)
        finally:
            absent.__exit__(None, None, None)


class _Missed(logging.Handler):
    """Starts a server when the client has said for the first time that it is not there."""

    def __init__(self, server: FakeProcess) -> None:
        super().__init__(logging.INFO)
        self.start = threading.Thread(target=server.restart)

    def emit(self, record: logging.LogRecord) -> None:
        """It is missed."""
        if not self.start.ident:
            self.start.start()


def started_late(events: int, folder: Path) -> Outcome:
    """The only server is started after the client, which waits for it."""
    server, log = FakeProcess(make), logging.getLogger("evproc.discovery")
    missed, level = _Missed(server), log.level
    log.addHandler(missed)
    log.setLevel(logging.INFO)
    try:
        outcome = run([server.hold()], events, service={"wait": 60.0})
        require(missed.start.ident, "the server was there before the client")
        return outcome
    finally:
        log.removeHandler(missed)
        log.setLevel(level)
        if missed.start.ident:
            missed.start.join()
        server.__exit__(None, None, None)


# Servers that misbehave.


def growth(requests: int, events: int, folder: Path) -> Outcome:
    """Many requests, of an event each: neither memory nor descriptors grow from the second quarter to the last."""
    process = psutil.Process()
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((process.memory_info().rss, process.num_fds()))

    with FakeProcess(make_quick) as server:
        marks = {requests * part // 20: look for part in range(5, 20)}
        outcome = run([server.url], requests, marks, coalesce=False, block=1000)
    early, late = seen[:5], seen[10:]
    memory = max(rss for rss, _ in late) / max(rss for rss, _ in early)
    descriptors = max(fds for _, fds in late) - max(fds for _, fds in early)
    require(len(seen) == 15, "memory was not looked at")
    # What the job keeps of each event, its number and answer, is about 100 bytes.
    kept = 100 * requests / 2 / max(rss for rss, _ in early)
    require(memory <= 1.05 + kept, f"memory grew by {memory:.3f}")
    require(descriptors <= 2, f"{descriptors} descriptors more")
    return outcome


def unavailable(seconds: float, events: int, folder: Path) -> Outcome:
    """The only server answers UNAVAILABLE to everything, for a time."""
    with FakeServer([MODEL]) as server:

        def fail() -> None:
            until = server.time + seconds
            server.condition = lambda time: Unavailable() if time < until else None

        outcome = run([server.url], events, {events // 3: fail})
        require("refused" in server.outcomes, "no request was refused")
    return outcome


def faulty(
    fault: Fault, share: float, events: int, folder: Path, *, timeout: float = 10.0, retry_share: float = 0.2
) -> Outcome:
    """Some answers of the only server are late, twice, never, or end the connection, with all that is under way on it."""
    with FakeServer([MODEL], faults=chance((share, fault))) as server:
        outcome = run([server.url], events, timeout=timeout, service={"retry_share": retry_share})
        require(any(request.fault for request in server.requests), "no request met the fault")
    return outcome


def truncated(events: int, folder: Path) -> Outcome:
    """Some answers of the only server are cut short: a broken contract, which is not tried again for an event alone."""
    policy = ExceptionPolicy(try_to_continue=["ModelContractError"], failed_events=str(folder / "failed.jsonl"))
    with FakeServer([MODEL], faults=chance((0.05, Truncated()))) as server:
        outcome = run([server.url], events, policy=policy)
        require(any(request.fault for request in server.requests), "no answer was truncated")
    return outcome


def half_open(events: int, folder: Path) -> Outcome:
    """The connections to one of two servers go silent without an end."""
    with (
        FakeServer([MODEL], faults=[None, None, HalfOpen(), *[None] * 9, HalfOpen()]) as one,
        FakeServer([MODEL]) as two,
    ):
        outcome = run([one.url, two.url], events, timeout=0.5)
        require(any(request.fault for request in one.requests), "no connection went silent")
    return outcome


def poisoned(fault: Fault, events: int, folder: Path) -> Outcome:
    """Whatever holds a certain event is answered wrongly, every time."""
    poison = 4 * (events // 8) + 1

    def script(request: Received) -> Fault | None:
        return fault if (request.inputs["x"] == poison).any() else None

    policy = ExceptionPolicy(try_to_continue=["ModelContractError"], failed_events=str(folder / "failed.jsonl"))
    with FakeServer([MODEL], faults=script, keep_inputs=True) as server:
        outcome = run([server.url], events, policy=policy)
    require(outcome.failed == [poison], f"failed are {outcome.failed}, not {poison} alone")
    return outcome


def not_a_number(events: int, folder: Path) -> Outcome:
    """An answer has a NaN: a number like others to the client, which must reach its own event and no other."""
    with FakeServer([MODEL], faults=chance((0.05, NotFinite()))) as server:
        outcome = run([server.url], events)
        spoiled = sum(request.fault is not None for request in server.requests)
    nan = [number for number, value in outcome.rows if value != value]  # NaN
    require(spoiled, "no answer was spoiled")
    require(len(nan) == spoiled, f"{len(nan)} events have a NaN, of {spoiled} answers")
    outcome.rows = [(number, 2.0 * number if number in nan else value) for number, value in outcome.rows]
    return outcome


def slow_among_fast(events: int, folder: Path) -> Outcome:
    """One of three servers is a hundred times slower, another has a long tail."""
    latencies: list[Any] = [lognormal(0.002, 0.02), with_tail(0.002, 0.1, 0.2), 0.2]
    servers = [FakeServer([replace(MODEL, latency=latency)]) for latency in latencies]
    with servers[0], servers[1], servers[2]:
        return run([server.url for server in servers], events)


def saturated(events: int, folder: Path) -> Outcome:
    """The only server refuses what is more than two requests at once."""
    with FakeServer([replace(MODEL, latency=0.01)], capacity=2) as server:
        outcome = run([server.url], events, max_rows=2)
        require("refused" in server.outcomes, "no request was refused")
    return outcome


REAL: dict[str, Scenario] = {
    "kill -9 of one of two Tritons": one_of_two_killed,
    "kill -9 of both, one comes back": both_killed,
    "SIGSTOP and SIGCONT of one of two Tritons": one_of_two_stopped,
    "SIGSTOP and SIGCONT of the only Triton": the_only_one_stopped,
}
FAKE: dict[str, Scenario] = {
    "kill -9 of a process, three times": process_killed,
    "refused connections": refused,
    "start after the client": started_late,
    "GOAWAY": partial(faulty, GoAway(), 0.1, retry_share=10.0),
    "GOAWAY, connection dropped": partial(faulty, GoAway(drop=True), 0.1, retry_share=10.0),
    "half-open TCP": half_open,
    "answers late": partial(faulty, Delay(0.3), 0.1),
    "answers after the deadline": partial(faulty, Delay(2.0), 0.1, timeout=0.3),
    "answers twice": partial(faulty, Twice(), 0.1, timeout=1.0),
    "answers never": partial(faulty, Never(), 0.1, timeout=0.3),
    "NaN": not_a_number,
    "a slow server among fast ones": slow_among_fast,
    "a saturated server": saturated,
}
NAMED: dict[str, Scenario] = {
    "answers truncated, now and then": truncated,
    "one event's answers truncated": partial(poisoned, Truncated()),
    "one event's answers of wrong shape": partial(poisoned, WrongShape()),
}
