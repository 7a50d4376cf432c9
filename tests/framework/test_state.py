"""The state of a run: random stimuli never break its invariants, and never leave it waiting for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evproc.framework.state import Action, Budget, RunState, Status


class World:
    """A run played without events: blocks with external work of random size, threads, a source with so many blocks.

    A block's life: `acquire` some pieces (each takes bytes; pausing while the budget is used up), a thread perhaps, collect
    all pieces, its turn, its end. What is outstanding are pieces to be answered and threads to come back.
    """

    def __init__(self, data: st.DataObject, streams: int, limit: int, blocks: int) -> None:
        self.data = data
        self.state = RunState(streams, Budget(limit))
        self.left = blocks
        self.to_acquire: dict[int, list[int]] = {}
        self.under_way: dict[int, list[int]] = {}
        self.answered: dict[int, list[int]] = {}
        self.threads: set[int] = set()
        self.threaded: set[int] = set()
        self.ended: list[int] = []
        self.most_open = 0

    def play(self) -> None:
        """Do what `decide` says, with answers in between, until it says that this is the end."""
        state = self.state
        for _ in range(10_000):
            state.available = min(1, self.left)
            state.exhausted = not self.left
            action, number = state.decide()
            state.check()
            if action is Action.END:
                return
            if action is Action.OPEN:
                self.open()
            elif action is Action.RUN:
                self.run(number)
            else:
                assert action is Action.WAIT
                assert self.outstanding(), f"waits for nothing: {state}"
                self.happen()
            if self.outstanding() and self.data.draw(st.integers(0, 3)) == 0:
                self.happen()
            state.check()
        raise AssertionError(f"no end: {state}")

    def open(self) -> None:
        number = self.state.opened()
        self.left -= 1
        self.to_acquire[number] = self.data.draw(st.lists(st.integers(0, 30), max_size=4))
        self.under_way[number], self.answered[number] = [], []
        if self.data.draw(st.booleans()):
            self.threads.add(number)
        self.most_open = max(self.most_open, len(self.state.status))

    def run(self, number: int) -> None:
        """What the engine does with a block that is ready."""
        state = self.state
        while self.to_acquire[number]:
            if not state.in_flight.open:
                if not self.produce(number):
                    state.waits(number, Status.BUDGET)
                    if state.status[number] is Status.BUDGET:
                        return
                continue
            size = self.to_acquire[number].pop()
            state.in_flight.take(size)
            self.under_way[number].append(size)
        if number in self.threads:
            self.threads.remove(number)
            self.threaded.add(number)
            state.waits(number, Status.THREAD)
            return
        while self.under_way[number] or self.answered[number]:
            if not self.produce(number):
                state.waits(number, Status.ANSWERS)
                return
        state.waits(number, Status.TURN)
        if state.status[number] is Status.TURN:
            return
        state.ended(number)
        self.ended.append(number)

    def produce(self, number: int) -> bool:
        if not self.answered[number]:
            return False
        self.state.freed(self.answered[number].pop())
        return True

    def outstanding(self) -> list[tuple[str, int]]:
        pieces = [("answer", number) for number, sizes in self.under_way.items() if sizes]
        return pieces + [("thread", number) for number in sorted(self.threaded)]

    def happen(self) -> None:
        """One of the things that are outstanding happens."""
        kind, number = self.data.draw(st.sampled_from(self.outstanding()))
        if kind == "thread":
            self.threaded.remove(number)
            self.state.ready(number)
        else:
            sizes = self.under_way[number]
            self.answered[number].append(sizes.pop(self.data.draw(st.integers(0, len(sizes) - 1))))
            self.state.answered(number)


@settings(max_examples=300)
@given(st.data(), st.integers(1, 5), st.sampled_from([1, 10, 50, 1000]), st.integers(0, 8))
def test_every_run_comes_to_its_end(data: st.DataObject, streams: int, limit: int, blocks: int) -> None:
    """Whatever the order of answers, all blocks end, in the order of the input; nothing waits for what cannot come."""
    world = World(data, streams, limit, blocks)
    world.play()
    assert world.ended == list(range(blocks))
    assert world.most_open <= streams
    assert world.state.in_flight.used == 0
    assert world.state.in_flight.peak < limit + 30 or world.state.in_flight.peak <= 30


def state(streams: int = 2, limit: int = 100) -> RunState:
    """A state whose source has blocks."""
    made = RunState(streams, Budget(limit))
    made.available = 1
    return made


def opened(made: RunState) -> int:
    """Open a block as the engine does."""
    assert made.decide()[0] is Action.OPEN
    number = made.opened()
    made.available = 1
    return number


def test_the_oldest_ready_block_goes_first() -> None:
    """A block that became ready again is older than one that was opened since."""
    made = state()
    first = opened(made)
    made.waits(first, Status.ANSWERS)
    second = opened(made)
    assert made.decide() == (Action.RUN, second)
    made.answered(first)
    assert made.decide() == (Action.RUN, first)


def test_another_block_is_opened_only_when_none_is_ready() -> None:
    """Nothing is read that need not be: a ready block goes on before another is opened."""
    made = state()
    first = opened(made)
    assert made.decide() == (Action.RUN, first)
    made.waits(first, Status.ANSWERS)
    assert made.decide() == (Action.OPEN, 1)


def test_no_more_blocks_than_streams_are_open() -> None:
    """With all streams waiting for answers, the run waits."""
    made = state(streams=1)
    made.waits(opened(made), Status.ANSWERS)
    assert made.decide() == (Action.WAIT, -1)


def test_no_block_is_opened_while_the_budget_is_used_up() -> None:
    """A block that could not hand out work is not opened, unless it is the only one."""
    made = state()
    first = opened(made)
    made.in_flight.take(100)
    made.waits(first, Status.ANSWERS)
    assert made.decide() == (Action.WAIT, -1)
    made.freed(1)
    assert made.decide() == (Action.OPEN, 1)


def test_a_block_whose_turn_it_is_does_not_wait_for_it() -> None:
    """Blocks end in the order of the input; the next has its turn at once."""
    made = state()
    first = opened(made)
    made.waits(first, Status.ANSWERS)
    second = opened(made)
    made.waits(second, Status.TURN)
    assert made.decide() == (Action.WAIT, -1)
    made.answered(first)
    made.waits(first, Status.TURN)
    assert made.decide() == (Action.RUN, first)
    made.ended(first)
    assert made.decide() == (Action.RUN, second)


def test_what_comes_late_for_a_block_is_ignored() -> None:
    """An answer for a block that waits for something else, or has ended, changes nothing."""
    made = state()
    first = opened(made)
    made.waits(first, Status.THREAD)
    made.answered(first)
    assert made.status[first] is Status.THREAD
    made.ready(first)
    made.ended(first)
    made.answered(first)
    made.ready(first)
    assert made.status == {}


def test_the_end_comes_when_all_is_read_and_ended() -> None:
    """END needs an exhausted source, nothing read and not begun, and no open block."""
    made = state()
    number = opened(made)
    made.available, made.exhausted = 0, True
    made.waits(number, Status.ANSWERS)
    assert made.decide()[0] is Action.WAIT
    made.answered(number)
    made.ended(number)
    assert made.decide()[0] is Action.END


def test_a_budget_lets_the_last_one_in_whole() -> None:
    """What is bigger than the budget goes alone; more is taken only when something was given back."""
    budget = Budget(10)
    budget.take(1000)
    assert not budget.open
    assert budget.peak == 1000
    budget.give(1000)
    assert budget.open
    with pytest.raises(AssertionError, match=r"more was given back"):
        budget.give(1)
