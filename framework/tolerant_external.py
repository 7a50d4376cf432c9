"""External work that goes on behind a failed event.

An event can fail in `acquire`, in the work itself, and in `produce`; each is that event's alone. But a piece can also fail
as a whole: its request is refused, or `external` raises. Then nobody knows whose fault it is, so the work of each half is
acquired and sent again, until what is left fails alone. Where the fault cannot be an event's (no server, no answer in time)
all events of the piece fail, for asking again would only take longer. Columnar work is divided in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from .binding import Binding
from .block import Block, Piece
from .errors import DeadlineExceeded, EventSkipped, ServerUnavailable
from .event import Columns
from .external import ExternalSteps, Outcome, name_events
from .module import ExternalWork, close_work
from .sweep import Sweep
from .tolerant import FAILED, TolerantBinding, halves

FOREVER = float("inf")
NOBODYS_FAULT = (ServerUnavailable, DeadlineExceeded, EventSkipped)
"""Errors that say nothing of any event, or for which asking again has been tried."""


class TolerantExternalSteps(ExternalSteps):
    """The steps of modules with external work, in a job that goes on behind failed events."""

    def _work_bytes(self, module: ExternalWork, sweep: Sweep, first: int) -> int:
        work = sweep.results[first:]
        if sweep.failures:
            work = [item for item in work if item is not FAILED]
        return module.work_bytes(work) if work else 0

    # Handing out

    def _launch(self, block: Block, binding: Binding, work: list[Any], index: Sequence[int] | None) -> None:
        assert block.sweep is not None
        self._launch_swept(block, binding, block.sweep, work, index)

    def _launch_swept(
        self, block: Block, binding: Binding, sweep: Sweep, work: list[Any], index: Sequence[int] | None
    ) -> None:
        """Start the work that a sweep of `acquire` has made, but for the events for which it failed."""
        assert isinstance(binding, TolerantBinding)
        assert index is not None, "per-event work has its events' numbers"
        if not binding.tolerant:
            super()._launch(block, binding, work, index)
            return
        if sweep.failures:
            places = [place for place, item in enumerate(work) if item is FAILED]
            for place, note in zip(places, sweep.failures.values(), strict=True):
                binding.note(block, index[place], note)
            sweep.forget()
            index = [number for number, item in zip(index, work, strict=True) if item is not FAILED]
            work = [item for item in work if item is not FAILED]
        module = binding.module
        assert isinstance(module, ExternalWork)
        pending = [(work, index)] if work else []
        while pending:
            work, index = pending.pop()
            if module._names_events:
                name_events(module, block, index)
            try:
                answer, nbytes = module.launch(work)
            except Exception as error:
                if len(work) > 1:
                    middle = len(work) // 2
                    pending += [(work[middle:], index[middle:]), (work[:middle], index[:middle])]
                    continue
                close_work(work)
                binding.fail(block, index[0], error)
            else:
                self._started(block, binding, work, index, answer, nbytes)

    def _launch_block(self, block: Block, binding: Binding, total: int) -> None:
        assert isinstance(binding, TolerantBinding)
        if not binding.tolerant:
            super()._launch_block(block, binding, total)
            return
        block.acquired = total
        self._launch_parts(block, binding, [range(total) if block.todo is None else block.todo])

    def _launch_parts(self, block: Block, binding: TolerantBinding, parts: list[Sequence[int]]) -> None:
        """Acquire and start the columnar work of some parts of a block, each divided as long as that fails."""
        module = binding.module
        assert isinstance(module, ExternalWork)
        view = block.store.view = binding.view(block)
        pending = [*reversed(parts)]
        while pending:
            part = pending.pop()
            index = None if len(part) == block.store.size else part
            if module._names_events:
                name_events(module, block, index)
            begin = perf_counter()
            try:
                work = binding.acquire(Columns(view, index))
                answer, nbytes = module.launch([work])
            except Exception as error:
                if len(part) > 1:
                    pending += reversed(halves(part))
                else:
                    binding.fail(block, part[0], error)
                continue
            binding.tally.cpu_s += perf_counter() - begin
            self._started(block, binding, [work], index, answer, nbytes)
        view.clear()

    # Taking back

    def collect(self, block: Block, binding: Binding, until: float) -> Outcome:
        """As ever; the failures count from its end on, for which answers come before that is a matter of timing."""
        outcome = super().collect(block, binding, until)
        if outcome is Outcome.ENDED and block.failing:
            failed = block.failing.pop(binding.label, None)
            if failed:
                block.failed.setdefault(binding.label, set()).update(failed)
        return outcome

    def _results(self, block: Block, binding: Binding, piece: Piece) -> Sequence[Any] | None:
        assert isinstance(binding, TolerantBinding)
        if not binding.tolerant:
            return super()._results(block, binding, piece)
        try:
            results = self._answer(piece)
        except Exception as error:
            self._piece_failed(block, binding, piece, error)
            return None
        if getattr(results, "sound", False) or not any(
            issubclass(kind, BaseException) for kind in set(map(type, results))
        ):
            return results
        if piece.columns or piece.index is None:
            self._piece_failed(block, binding, piece, results[0])
            return None
        good = []
        for number, result in zip(piece.index, results, strict=True):
            if isinstance(result, BaseException):
                binding.fail(block, number, result)
            else:
                good.append((number, result))
        piece.index = [number for number, _ in good]
        if not good:
            self._state.freed(piece.nbytes)
            return None
        return [result for _, result in good]

    def _produced(
        self, block: Block, binding: Binding, index: Sequence[int], sweep: Sweep
    ) -> tuple[Sequence[int], list[Any]]:
        assert isinstance(binding, TolerantBinding)
        results, kept = binding.kept(block, sweep.results, index, sweep.failures)
        assert kept is not None
        return kept, results

    def _produce_block(self, block: Block, binding: Binding, piece: Piece, results: Sequence[Any]) -> None:
        assert isinstance(binding, TolerantBinding)
        if not binding.tolerant:
            super()._produce_block(block, binding, piece, results)
            return
        events = block.store.size if piece.index is None else len(piece.index)
        view = block.store.view = binding.view(block)
        begin = perf_counter()
        try:
            result = binding.function(Columns(view, piece.index), results[0])
            columns = binding.columns_of(result, events)
        except Exception as error:
            self._piece_failed(block, binding, piece, error)
        else:
            binding.keep_columns(block, columns, piece.index, events)
            block.whole_done.add(binding.label)
            self._state.freed(piece.nbytes)
        finally:
            binding.tally.cpu_s += perf_counter() - begin
            view.clear()

    def _piece_failed(self, block: Block, binding: TolerantBinding, piece: Piece, error: BaseException) -> None:
        """A piece has failed as a whole: its events have, or are tried again in two halves."""
        self._state.freed(piece.nbytes)
        index: Sequence[int] = range(block.store.size) if piece.index is None else piece.index
        if len(index) == 1 or isinstance(error, NOBODYS_FAULT):
            for number in index:
                binding.fail(block, number, error)
        elif piece.columns:
            self._launch_parts(block, binding, halves(index))
        else:
            view = block.store.view = binding.view(block)
            for half in halves(index):
                sweep = binding.sweep(binding.acquire, block.store.selected(half))
                try:
                    sweep.advance(FOREVER)
                except Exception as wrong:
                    close_work(sweep.results)
                    raise binding.failure(block, half[sweep.place], wrong) from wrong
                self._launch_swept(block, binding, sweep, sweep.results, half)
            view.clear()
