"""The schedule's decisions without a loop: compiled steps, masks and the state of a run are plain objects, played with.

What happens between two decisions (which answer comes, when a thread comes back, for how many steps a block goes on) is
drawn, and each step of each block is held against the reference that takes one event at a time (`reference.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evproc.framework.block import Block
from evproc.framework.flow import resolve
from evproc.framework.path_results import states
from evproc.framework.schedule import Phase, Schedule, Step
from evproc.framework.state import Action, Budget, RunState, Status
from evproc.framework.testing import make_store
from tests.framework.core_toys import schedule_of
from tests.framework.random_process import plans, process_of
from tests.framework.reference import MADE, Plan, Reference, Story
from tests.strategies import examples

PIECE = 3
"""Events of one piece of external work; each holds a byte."""


@dataclass(eq=False)
class Played(Block):
    """A block, and what the steps have done for its events."""

    first: int = 0
    todo_left: list[int] | None = None
    under_way: list[tuple[str, list[int]]] = field(default_factory=list)
    answered: list[tuple[str, list[int]]] = field(default_factory=list)
    in_thread: bool = False
    came_back: bool = False
    ran: dict[str, list[int]] = field(default_factory=dict)
    """Module -> numbers of the events in the block."""
    there: set[str] = field(default_factory=set)
    """Products that are held."""


class Game(RuleBasedStateMachine):
    """A run without modules: it does what is decided, and lets things happen in any order."""

    @initialize(plan=plans(), streams=st.integers(1, 4), limit=st.sampled_from([1, 7, 1000]), size=st.integers(1, 9))
    def begin(self, plan: Plan, streams: int, limit: int, size: int) -> None:
        plan.events = min(plan.events, 40)
        process = process_of(plan)
        self.plan, self.process, self.limit = plan, process, limit
        self.schedule: Schedule = schedule_of(process)
        self.stories: list[Story] = Reference(plan).events()
        self.state = RunState(streams, Budget(limit))
        self.left = [range(first, min(first + size, plan.events)) for first in range(0, plan.events, size)]
        self.blocks: dict[int, Played] = {}
        self.ended: list[int] = []
        self.seen: dict[str, list[int]] = {label: [] for label in plan.parts}
        self.check_order()

    def check_order(self) -> None:
        """Makers come first, and products live until their last reader and no longer."""
        flow = resolve(self.process)
        ends: dict[str, list[int]] = {}
        begins: dict[str, list[int]] = {}
        for number, step in enumerate(self.schedule.steps):
            begins.setdefault(step.node.label, []).append(number)
            if step.node.phase is not Phase.ACQUIRE:
                ends.setdefault(step.node.label, []).append(number)
        released = [(key, number) for number, step in enumerate(self.schedule.steps) for key in step.release]
        assert len(dict(released)) == len(released), "a product is released once"
        for key, number in released:
            readers = [label for label in begins if key in flow.products(label)]
            if flow.makers[key] in begins or flow.makers[key] == flow.source:
                last = max([place for label in readers for place in ends[label]], default=-1)
                own = ends.get(flow.makers[key], [-1])[-1]
                assert number == max(last, own), (
                    f"{key} is read last at {last}, made at {own}, and released after {number}"
                )
            for label in readers:
                if flow.makers[key] in ends:
                    assert min(ends[flow.makers[key]]) < min(ends[label])

    # What is done

    @rule(steps=st.integers(1, 6))
    def act(self, steps: int) -> None:
        state = self.state
        state.available, state.exhausted = min(1, len(self.left)), not self.left
        action, number = state.decide()
        assert (action is Action.END) == (not self.left and not self.blocks)
        if action is Action.OPEN:
            numbers = self.left.pop(0)
            store = make_store({"x": np.arange(numbers.start, numbers.stop)})
            opened = state.opened()
            read = any("x" in self.plan.parts[label].reads for label in self.schedule.labels & self.plan.parts.keys())
            self.blocks[opened] = Played(opened, store, None, first=numbers.start, there={"x"} if read else set())
        elif action is Action.RUN:
            while steps and self.step(self.blocks[number]):
                steps -= 1
        elif action is Action.WAIT:
            assert self.outstanding(), f"waits for nothing: {state}"

    def step(self, block: Played) -> bool:
        """One step of a block, as the engine would; False if it waits or has ended."""
        state, steps = self.state, self.schedule.steps
        if block.place == self.schedule.tail:
            state.waits(block.number, Status.TURN)
            if state.status[block.number] is Status.TURN:
                return False
        if block.place == len(steps):
            self.end(block)
            return False
        step = steps[block.place]
        if step.node.phase is Phase.ACQUIRE:
            if not self.acquire(block, step):
                return False
        elif step.node.phase is Phase.COLLECT:
            label = step.node.label
            while any(label == other for other, _ in (*block.under_way, *block.answered)):
                if not self.produce(block, label):
                    state.waits(block.number, Status.ANSWERS)
                    return False
            self.decided(block, label)
        elif step.node.phase is not Phase.RESULT:
            if step.module.threaded and not block.came_back:
                block.in_thread = True
                state.waits(block.number, Status.THREAD)
                return False
            self.run(block, step.node.label, self.todo(block, step))
            self.decided(block, step.node.label)
        block.there -= set(step.release)
        block.place += 1
        block.todo_left, block.came_back = None, False
        return True

    def todo(self, block: Played, step: Step) -> list[int]:
        index = block.events_of(step.node.mask, self.schedule.masks)
        wanted = list(range(block.store.size) if index is None else index)
        assert wanted == sorted(set(wanted))
        if not step.repeated:
            return wanted
        done = block.done.setdefault((step.node.label, step.node.phase.name), set())
        left = [number for number in wanted if number not in done]
        done.update(left)
        return left

    def acquire(self, block: Played, step: Step) -> bool:
        state, label = self.state, step.node.label
        if block.todo_left is None:
            block.todo_left = self.todo(block, step)
        while block.todo_left:
            if not state.in_flight.open:
                if not self.produce(block, ""):
                    state.waits(block.number, Status.BUDGET)
                    return state.status[block.number] is not Status.BUDGET and self.acquire(block, step)
                continue
            piece, block.todo_left = block.todo_left[:PIECE], block.todo_left[PIECE:]
            self.check_inputs(block, label, piece)
            state.in_flight.take(len(piece))
            block.under_way.append((label, piece))
        return True

    def produce(self, block: Played, label: str) -> bool:
        """Produce one answered piece, of a module or of any."""
        piece = next((piece for piece in block.answered if label in ("", piece[0])), None)
        if piece is None:
            return False
        block.answered.remove(piece)
        self.run(block, *piece)
        self.state.freed(len(piece[1]))
        return True

    def check_inputs(self, block: Played, label: str, events: list[int]) -> None:
        """What a module reads has been made for these events, and is still held."""
        for tag in self.plan.parts[label].reads:
            if tag == "x" and events:
                assert "x" in block.there
            if tag in self.plan.parts and events:
                made = set(block.ran.get(tag, []))
                for event in events:
                    if self.stories[block.first + event].runs[tag].kind == MADE:
                        assert event in made, f"{label} runs before {tag}"
                        assert tag in block.there, f"{tag} is gone when {label} reads it"

    def run(self, block: Played, label: str, events: list[int]) -> None:
        """A module runs for some events of a block."""
        self.check_inputs(block, label, events)
        ran = block.ran.setdefault(label, [])
        assert not set(ran) & set(events), f"{label} runs twice"
        ran += events
        part = self.plan.parts[label]
        if part.role == "producer":
            block.there.add(label)
        for event in events:
            assert self.stories[block.first + event].runs[label].kind == MADE, f"{label} should not run"
        if part.role in ("analyzer", "output"):
            self.seen[label] += [block.first + event for event in events]

    def decided(self, block: Played, label: str) -> None:
        """A step of a filter has ended: its answers are known."""
        if self.plan.parts[label].role == "filter":
            events = block.ran.get(label, [])
            block.note_passed(label, [self.stories[block.first + event].runs[label].value for event in events], events)

    def end(self, block: Played) -> None:
        """The last step of a block has ended."""
        stories = self.stories[block.first : block.first + block.store.size]
        for label in self.plan.parts:
            wanted = [number for number, story in enumerate(stories) if story.runs[label].kind == MADE]
            assert sorted(block.ran.get(label, [])) == wanted, label
        for path in self.plan.paths:
            found = states(block, self.schedule.placed[path], self.schedule.masks)
            assert found.tolist() == [story.state(path) for story in stories]
        assert not block.there, "products are kept"
        assert not block.under_way
        assert not block.answered
        self.state.ended(block.number)
        self.ended.append(block.number)
        del self.blocks[block.number]

    # What happens

    def outstanding(self) -> list[tuple[Played, int]]:
        """Work that can be answered: a block, and the number of a piece, -1 for its thread."""
        blocks = self.blocks.values()
        pieces = [(block, place) for block in blocks for place in range(len(block.under_way))]
        return pieces + [(block, -1) for block in blocks if block.in_thread]

    @precondition(lambda self: bool(self.outstanding()))
    @rule(which=st.integers(0, 1000), count=st.integers(1, 4))
    def happen(self, which: int, count: int) -> None:
        """Some of what is outstanding happens."""
        for _ in range(count):
            outstanding = self.outstanding()
            if not outstanding:
                return
            block, place = outstanding[which % len(outstanding)]
            if place < 0:
                block.in_thread, block.came_back = False, True
                self.state.ready(block.number)
            else:
                block.answered.append(block.under_way.pop(place))
                self.state.answered(block.number)

    @invariant()
    def holds(self) -> None:
        """Bounded, and nothing is lost."""
        self.state.check()
        assert len(self.blocks) <= self.state.streams
        out = sum(len(events) for block in self.blocks.values() for _, events in (*block.under_way, *block.answered))
        assert self.state.in_flight.used == out < self.limit + PIECE
        assert self.ended == list(range(len(self.ended)))

    def teardown(self) -> None:
        """Whatever has happened, it comes to its end from here; analyzers and outputs have seen events in their order."""
        if not hasattr(self, "plan"):
            return
        for _ in range(10_000):
            if not self.left and not self.blocks:
                break
            self.act(100)
            self.happen(0, 2)
            self.holds()
        else:
            raise AssertionError(f"no end: {self.state}")
        for label, numbers in self.seen.items():
            assert numbers == sorted(numbers), label
        assert self.state.in_flight.used == 0


TestGame = Game.TestCase
TestGame.settings = examples(40)
