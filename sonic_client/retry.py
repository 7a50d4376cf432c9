"""The retry chain: what is done when a request has failed. Pure: nothing here awaits, and time and chance are passed in.

A chain is a list of actions, in order. After each failure the first action that has something to propose decides; when none
has, the request has failed for good, with its last error. The default chain is

    [SameServer(tries=client.tries - 1), OtherServer(), FallbackServer()]

which tries a server that hiccups again, leaves one that is dead for another, and at last starts the job's own, if the service
has a `fallback`. `DefaultValue` and `SkipEvent` change results, and so are in no chain unless the workflow puts them there.

Which errors are tried again is decided in one table, that of `transport`. An error that is terminal (a refused request, a
broken contract) ends a request at once, as it would fail everywhere; only `DefaultValue` and `SkipEvent` may be told to take
it. A server that has too much to do, and says so, has not failed: the request is sent again, after a pause, as long as
`client.patience` lasts; no action is used up by that.

What bounds it all: tries per action, a deadline across all attempts of a request, and a budget of retries for the whole job:
when more than a share of all requests is sent again, something is wrong that retries make worse. While the only server of a
model is dead (its circuit is open), a request that would be sent to it again is held instead, but for its last try: that costs
tries, so that a server that stays away ends the job as soon as it would otherwise, but no budget, so that one that comes back
after a minute does not.

The pause before attempt n is a random time between one half and the whole of `back_off * 2**(n-1)`, at most `longest`: clients
that failed together do not come back together.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib import import_module
from random import Random
from typing import Any, Literal

from evproc.framework import Block, Parameter
from evproc.framework.errors import EventSkipped, InferenceError, ServerBusy

from .default_outputs import filled
from .tensors import Array, ModelMetadata
from .transport import is_retryable

SHORTEST_HELD = 0.05
"""For how long a request for a dead server is held in the place of one try, at least, s."""


class Where(Enum):
    """To which server a request is sent again."""

    SAME = "the same server"
    OTHER = "another server"
    FALLBACK = "the fallback server"
    ANY = "any server"


@dataclass(frozen=True, slots=True)
class Again:
    """Send it again, after a pause in seconds."""

    where: Where
    after: float = 0.0
    hold: bool = False
    """Do not, if the server is still shut then: ask the chain again. Nothing has been sent, so it costs no budget."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Give these outputs to the events: name -> (rows, ...)."""

    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The request has failed, with this error."""

    error: InferenceError


Decision = Again | Answer | GiveUp


@dataclass(frozen=True, slots=True)
class Failure:
    """What an action is told of a failure."""

    error: InferenceError
    server: str
    """Address of the server."""
    attempts: int
    """How often the request was sent, this time included."""
    used: int
    """How often this action has had the request sent again."""
    elapsed: float
    """Seconds since it was sent first."""
    rows: int
    metadata: ModelMetadata
    outputs: Sequence[str]
    """The outputs that were asked for; all if none is named."""
    others: int
    """Other servers that may be asked, and that this request has not been sent to."""
    dead: bool
    """Whether this server is known not to answer: its circuit is open, or it is not ready."""
    fallback: bool
    """Whether there is a fallback server that this request has not been sent to; it may have to be started."""
    random: Random

    @property
    def terminal(self) -> bool:
        """Whether the request would fail wherever it is sent."""
        return not is_retryable(self.error)


class RetryAction(Block):
    """One action of a chain. A third party's has the same base, and is named by `Custom`."""

    @abstractmethod
    def decide(self, failure: Failure) -> Decision | None:
        """What to do; None leaves it to the next action of the chain. Has no effect beside, and awaits nothing."""


class SameServer(RetryAction):
    """Send it to the same server again, after a pause that doubles."""

    kind: Literal["same_server"] = Parameter("same_server", description="the kind of action", placement=True)
    tries: int = Parameter(2, description="times that it is sent again", placement=True, ge=0)
    back_off: float = Parameter(0.05, description="pause before the first", unit="s", placement=True, ge=0)
    longest: float = Parameter(2.0, description="the longest pause", unit="s", placement=True, ge=0)

    def decide(self, failure: Failure) -> Decision | None:
        """Again, unless the server is dead and there is another. If it is the only one, all tries but the last wait."""
        if failure.terminal or failure.used >= self.tries or (failure.dead and failure.others):
            return None
        wait = pause(self.back_off, self.longest, failure.used, failure.random)
        if failure.dead and failure.used + 1 < self.tries:
            return Again(Where.SAME, max(wait, SHORTEST_HELD), hold=True)
        return Again(Where.SAME, wait)


class OtherServer(RetryAction):
    """Send it to another server, at once."""

    kind: Literal["other_server"] = Parameter("other_server", description="the kind of action", placement=True)
    tries: int = Parameter(1 << 16, description="servers that it is sent to in turn", placement=True, ge=1)

    def decide(self, failure: Failure) -> Decision | None:
        """Again, as long as there are servers that it was not sent to."""
        if failure.terminal or failure.used >= self.tries or not failure.others:
            return None
        return Again(Where.OTHER)


class FallbackServer(RetryAction):
    """Send it to the job's own server, which is started if need be."""

    kind: Literal["fallback_server"] = Parameter("fallback_server", description="the kind of action", placement=True)
    tries: int = Parameter(1, description="times that it is sent there", placement=True, ge=1)

    def decide(self, failure: Failure) -> Decision | None:
        """Again, if there is a fallback."""
        if failure.terminal or failure.used >= self.tries or not failure.fallback:
            return None
        return Again(Where.FALLBACK)


class DefaultValue(RetryAction):
    """Give the events a value in place of each number of the outputs; of what kind they are the model says."""

    kind: Literal["default_value"] = Parameter("default_value", description="the kind of action", placement=True)
    value: float = Parameter(description="the value of every element of every output")
    rejected: bool = Parameter(
        False, description="whether also for requests that the server refuses as wrong, and for broken answers"
    )

    def decide(self, failure: Failure) -> Decision | None:
        """The value, if the shapes of the outputs are known."""
        if failure.terminal and not self.rejected:
            return None
        return Answer(filled(self.value, failure.rows, failure.metadata, failure.outputs))


class SkipEvent(RetryAction):
    """Skip the events: they fail with `EventSkipped`, and an `ExceptionPolicy` of the process says what that means."""

    kind: Literal["skip_event"] = Parameter("skip_event", description="the kind of action", placement=True)
    rejected: bool = Parameter(
        False, description="whether also for requests that the server refuses as wrong, and for broken answers"
    )

    def decide(self, failure: Failure) -> Decision | None:
        """The error that stands for it."""
        if failure.terminal and not self.rejected:
            return None
        return GiveUp(EventSkipped(f"skipped: {failure.error}"))


class Custom(RetryAction):
    """An action of another package: a `RetryAction` of its own, by its place."""

    kind: Literal["custom"] = Parameter("custom", description="the kind of action", placement=True)
    action: str = Parameter(description="class of the action, as `mypackage.retries:Patient`")
    parameters: dict[str, Any] = Parameter(default_factory=dict, description="its parameters")

    def decide(self, failure: Failure) -> Decision | None:
        """What the action says."""
        return self.load().decide(failure)

    def load(self) -> RetryAction:
        """The action. Raises ValueError if there is none."""
        module, _, name = self.action.partition(":")
        try:
            kind = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"there is no retry action '{self.action}': {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, RetryAction)):
            raise ValueError(f"'{self.action}' is no RetryAction")
        made = kind(**self.parameters)
        if not isinstance(made, RetryAction):
            raise ValueError(f"the parameters of retry action '{self.action}' are wrong: {self.parameters}")
        return made


AnyAction = SameServer | OtherServer | FallbackServer | DefaultValue | SkipEvent | Custom


@dataclass(slots=True)
class RetryBudget:
    """How many retries the whole job may make: a share of its requests, and some to begin with."""

    share: float
    least: int
    requests: int = 0
    retries: int = 0
    refused: int = 0
    """Retries that it did not allow."""

    def take(self) -> bool:
        """Whether one more retry is allowed; it counts then."""
        if self.retries >= self.least + self.share * self.requests:
            self.refused += 1
            return False
        self.retries += 1
        return True


@dataclass(slots=True)
class Chain:
    """The actions for one request, and what has come of them so far."""

    actions: Sequence[RetryAction]
    patience: float
    """Seconds for which it is sent again to servers that have too much to do."""
    budget: RetryBudget
    random: Random
    refusals: int = 0
    used: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.used = [0] * len(self.actions)

    def decide(self, failure: Failure, left: float) -> Decision:
        """What to do now. `left`: seconds until the deadline of the request."""
        if isinstance(failure.error, ServerBusy) and failure.elapsed < self.patience:
            wait = pause(0.05, 1.0, self.refusals, self.random)
            if wait < left:
                self.refusals += 1
                return Again(Where.ANY, wait)
        spent = False
        for place, action in enumerate(self.actions):
            decision = action.decide(_with_used(failure, self.used[place]))
            if isinstance(decision, Again):
                if spent or decision.after >= left:
                    continue
                if not decision.hold and not self.budget.take():
                    spent = True
                    continue
                self.used[place] += 1
            if decision is not None:
                return decision
        why = "; the job's budget of retries is used up" if spent else ""
        return GiveUp(self._last_word(failure, why))

    def _last_word(self, failure: Failure, why: str) -> InferenceError:
        tried = f" (after {failure.attempts} attempts{why})" if failure.attempts > 1 else why
        if not tried:
            return failure.error
        error = type(failure.error)(f"{failure.error}{tried}")
        error.__cause__ = failure.error
        return error


def _with_used(failure: Failure, used: int) -> Failure:
    if failure.used == used:
        return failure
    return replace(failure, used=used)


def default_chain(tries: int) -> tuple[RetryAction, ...]:
    """The chain where the workflow says nothing of it; `tries` is how often a server is asked."""
    return SameServer(tries=tries - 1), OtherServer(), FallbackServer()


def pause(first: float, longest: float, before: int, random: Random) -> float:
    """A random time between one half and the whole of a pause that doubles with each before it, seconds."""
    whole = min(longest, first * 2.0 ** min(before, 60))
    return whole * (0.5 + 0.5 * random.random())
