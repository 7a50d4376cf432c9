"""The batcher: every row in exactly one request, in order, within the limits; failures end each submission once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.strategies  # noqa: F401 - hypothesis settings of the tests
from evproc.framework.errors import ModelContractError
from evproc.sonic_client.batching import FEW, Batcher, Request, Submission, row_bounds
from evproc.sonic_client.tensors import Rows, arrays_of


def submission(rows: int, first: int = 0, width: int = 2) -> Submission:
    """Rows that know their number: x (rows, width) float32, id (rows,) int64."""
    number = np.arange(first, first + rows)
    return Submission({"x": np.repeat(number[:, None], width, axis=1).astype("f4"), "id": number}, rows)


def answer_of(request: Request) -> dict[str, Any]:
    """What a server makes of a request: the double of x, and the ids."""
    inputs = arrays_of(request.inputs())
    return {"y": 2 * inputs["x"], "id": inputs["id"]}


class Play:
    """A batcher with submissions and answers in an order that hypothesis draws."""

    def __init__(self, data: st.DataObject, batcher: Batcher, kinds: int) -> None:
        self.data, self.batcher, self.kinds = data, batcher, kinds
        self.submissions: list[Submission] = []
        self.requests: list[Request] = []
        self.sent: list[list[int]] = []
        self.complete: list[Submission] = []
        self.failed: list[Submission] = []
        self.first = 0

    def add(self) -> None:
        rows = self.data.draw(st.integers(1, 12))
        made = submission(rows, self.first, self.data.draw(st.integers(1, self.kinds)))
        self.first += rows
        self.submissions.append(made)
        self.batcher.add(made)

    def send(self, *, partial: bool) -> bool:
        waiting = self.batcher.waiting_rows
        request = self.batcher.next_request(partial=partial)
        if request is None:
            return False
        ids = arrays_of(request.inputs())["id"].tolist()
        assert len(ids) == request.rows == sum(part.stop - part.start for part in request.parts)
        assert len({part.submission.kind for part in request.parts}) == 1
        room = max(1, min(self.batcher.max_rows, self.batcher.max_bytes // request.parts[0].submission.row_bytes))
        assert 1 <= request.rows <= room
        if not partial and self.batcher.coalesce:
            assert request.rows == room or any(one.failed for one in self.submissions)
        if not self.batcher.coalesce:
            assert len(request.parts) == 1
        assert self.batcher.waiting_rows <= waiting - request.rows
        self.requests.append(request)
        self.sent.append(ids)
        return True

    def answer(self, *, fail: bool) -> None:
        place = self.data.draw(st.integers(0, len(self.requests) - 1))
        request = self.requests.pop(place)
        if fail:
            self.failed.extend(Batcher.fail(request))
        else:
            self.complete.extend(Batcher.answer(request, answer_of(request)))


@settings(max_examples=200)
@given(
    st.data(), st.integers(1, 9), st.sampled_from([1, 40, 100, 10_000]), st.booleans(), st.booleans(), st.integers(1, 3)
)
def test_every_row_goes_out_once_and_its_answer_comes_back(
    data: st.DataObject, max_rows: int, max_bytes: int, coalesce: bool, failures: bool, kinds: int
) -> None:
    """Whatever is submitted, sent and answered in any order: rows of a kind keep their order, submissions end once."""
    play = Play(data, Batcher(max_rows=max_rows, max_bytes=max_bytes, coalesce=coalesce), kinds)
    for _ in range(data.draw(st.integers(0, 20))):
        step = data.draw(st.sampled_from(["add", "full", "partial", "answer"]))
        if step == "add":
            play.add()
        elif step == "answer":
            if play.requests:
                play.answer(fail=failures and data.draw(st.booleans()))
        else:
            play.send(partial=step == "partial")
    while play.send(partial=True):
        pass
    while play.requests:
        play.answer(fail=failures and data.draw(st.booleans()))
    assert play.batcher.waiting_rows == 0
    assert play.batcher.next_request(partial=True) is None

    sent = [row for ids in play.sent for row in ids]
    assert len(sent) == len(set(sent)), "a row twice"
    for width in range(1, kinds + 1):
        kind = [
            row for one in play.submissions if one.inputs["x"].shape[1] == width for row in one.inputs["id"].tolist()
        ]
        assert [row for row in sent if row in kind] == [row for row in kind if row in sent], "out of order"
    whole = {row for one in play.submissions if not one.failed for row in one.inputs["id"].tolist()}
    assert whole <= set(sent)
    ended = [*play.complete, *play.failed]
    assert len(ended) == len(play.submissions)
    assert {id(one) for one in ended} == {id(one) for one in play.submissions}
    for one in play.complete:
        outputs = one.outputs()
        assert outputs["id"].tolist() == one.inputs["id"].tolist()
        assert (outputs["y"] == 2 * one.inputs["x"]).all()
    if not failures:
        assert play.failed == []
        assert sorted(sent) == list(range(play.first))


def test_a_request_that_is_not_full_waits() -> None:
    """Rows are collected until a request is full, unless a partial one is asked for."""
    batcher = Batcher(max_rows=5, max_bytes=1 << 20)
    batcher.add(submission(3))
    assert batcher.next_request(partial=False) is None
    batcher.add(submission(3, 3))
    full = batcher.next_request(partial=False)
    assert full is not None
    assert [(part.start, part.stop) for part in full.parts] == [(0, 3), (0, 2)]
    assert batcher.waiting_rows == 1
    assert batcher.next_request(partial=False) is None
    rest = batcher.next_request(partial=True)
    assert rest is not None
    assert rest.rows == 1


def test_without_coalescing_submissions_leave_at_once_and_alone() -> None:
    """With coalesce off, no request holds rows of two submissions, and none waits."""
    batcher = Batcher(max_rows=4, max_bytes=1 << 20, coalesce=False)
    for rows in (3, 6, 1):
        batcher.add(submission(rows))
    sizes = []
    while (request := batcher.next_request(partial=False)) is not None:
        assert len(request.parts) == 1
        sizes.append(request.rows)
    assert sizes == [3, 4, 2, 1]


def test_bytes_bound_a_request_and_one_row_always_goes() -> None:
    """max_bytes counts the inputs of a request; a row larger than it goes alone."""
    batcher = Batcher(max_rows=100, max_bytes=3 * 16)  # a row of `submission` is 16 bytes
    batcher.add(submission(7))
    full = batcher.next_request(partial=False)
    assert full is not None
    assert full.rows == 3
    huge = Batcher(max_rows=100, max_bytes=1)
    huge.add(submission(2))
    request = huge.next_request(partial=False)
    assert request is not None
    assert request.rows == 1


def test_large_rows_after_small_ones_are_bounded_too() -> None:
    """The bytes of a request are bounded when rows of different sizes wait together."""
    batcher = Batcher(max_rows=1000, max_bytes=4000)
    batcher.add(Submission({"x": np.zeros((10, 250), "f4")}, 10))
    batcher.add(Submission({"x": np.zeros((3, 1), "f4")}, 3))
    while (request := batcher.next_request(partial=True)) is not None:
        nbytes = sum(
            array[part.start : part.stop].nbytes for part in request.parts for array in part.submission.inputs.values()
        )
        assert nbytes <= 4000
    assert batcher.waiting_rows == 0


def test_rows_of_different_shapes_do_not_share_a_request() -> None:
    """Where a model has variable extents, rows of each shape go out together, however shapes alternate."""
    batcher = Batcher(max_rows=10, max_bytes=1 << 20)
    for width in (2, 2, 3, 2):
        batcher.add(submission(2, width=width))
    shapes = []
    while (request := batcher.next_request(partial=True)) is not None:
        shapes.append(request.inputs()["x"].shape)
    assert shapes == [(6, 2), (2, 3)]


def test_a_kind_that_fills_a_request_need_not_wait_for_older_rows_of_another() -> None:
    """A full request leaves though rows of another kind have waited for longer; these leave when the server idles."""
    batcher = Batcher(max_rows=4, max_bytes=1 << 20)
    batcher.add(submission(1, width=3))
    batcher.add(submission(4, 1, width=2))
    full, rest = batcher.next_request(partial=False), batcher.next_request(partial=False)
    assert full is not None
    assert full.inputs()["x"].shape == (4, 2)
    assert rest is None
    assert batcher.waiting_rows == 1
    last = batcher.next_request(partial=True)
    assert last is not None
    assert last.inputs()["x"].shape == (1, 3)


def test_kinds_take_turns() -> None:
    """No kind waits for ever behind one of which there is always more."""
    batcher = Batcher(max_rows=2, max_bytes=1 << 20)
    widths = []
    batcher.add(submission(2, width=3))
    for _ in range(3):
        batcher.add(submission(4, width=2))
        request = batcher.next_request(partial=False)
        assert request is not None
        widths.append(request.inputs()["x"].shape[1])
    assert widths == [3, 2, 2]


def test_text_counts_by_its_length() -> None:
    """The bytes of a request with BYTES tensors are those that are sent, not those of references."""
    batcher = Batcher(max_rows=100, max_bytes=10 * 104)
    batcher.add(Submission({"name": np.array([b"x" * 100] * 25, object)}, 25))
    sizes = []
    while (request := batcher.next_request(partial=True)) is not None:
        sizes.append(request.rows)
    assert sizes == [10, 10, 5]


def test_a_row_of_a_model_without_batches_goes_as_it_is() -> None:
    """Such a row has all extents of its tensors, a number without any included."""
    batcher = Batcher(max_rows=1, max_bytes=1)
    made = Submission({"x": np.zeros((3, 2), "f4"), "cut": np.array(0.5)}, 1)
    batcher.add(made)
    request = batcher.next_request(partial=False)
    assert request is not None
    assert request.inputs() == made.inputs
    answer = {"y": np.zeros(7)}
    assert Batcher.answer(request, answer) == [made]
    assert made.outputs() == answer


def test_outputs_whose_extent_depends_on_the_request_are_refused() -> None:
    """Rows that were sent apart cannot be put together if their outputs came with different extents."""
    made = submission(4)
    made.parts = [(0, {"y": np.zeros((2, 5))}), (2, {"y": np.zeros((2, 6))})]
    with pytest.raises(ModelContractError, match=r"'y' came with rows of shape \(5,\) and of \(6,\)"):
        made.outputs()


def test_one_submission_is_sent_without_a_copy() -> None:
    """A request of rows of one submission carries views of them."""
    batcher = Batcher(max_rows=2, max_bytes=1 << 20)
    made = submission(4)
    batcher.add(made)
    request = batcher.next_request(partial=False)
    assert request is not None
    tensor = request.inputs()["x"]
    assert isinstance(tensor, np.ndarray)
    assert np.shares_memory(tensor, made.inputs["x"])


def test_few_submissions_are_sent_without_a_copy() -> None:
    """Only those of many small submissions are put together before."""
    for count in (FEW, FEW + 1):
        batcher = Batcher(max_rows=100, max_bytes=1 << 20)
        made = [submission(1 + number % 3, 10 * number) for number in range(count)]
        for one in made:
            batcher.add(one)
        request = batcher.next_request(partial=True)
        assert request is not None
        tensor = request.inputs()["id"]
        assert tensor.shape == (request.rows,)
        assert arrays_of({"id": tensor})["id"].tolist() == [number for one in made for number in one.inputs["id"]]
        if count == FEW:
            assert isinstance(tensor, Rows)
            assert all(np.shares_memory(part, one.inputs["id"]) for part, one in zip(tensor.parts, made, strict=True))
        else:
            assert isinstance(tensor, np.ndarray)


def test_a_failure_ends_a_submission_once_and_spares_the_rest() -> None:
    """When one request of a large submission fails, the rows not yet sent are not sent, and other submissions go on."""
    batcher = Batcher(max_rows=4, max_bytes=1 << 20)
    large, small = submission(10), submission(2, 10)
    batcher.add(large)
    batcher.add(small)
    first = batcher.next_request(partial=False)
    second = batcher.next_request(partial=False)
    assert first is not None
    assert second is not None
    assert Batcher.fail(first) == [large]
    assert Batcher.fail(second) == []
    rest = batcher.next_request(partial=True)
    assert rest is not None
    assert [part.submission for part in rest.parts] == [small]
    assert Batcher.answer(rest, answer_of(rest)) == [small]
    assert batcher.waiting_rows == 0


def test_an_answer_to_a_failed_submission_completes_nothing() -> None:
    """A submission that has failed is not completed by answers that come later."""
    batcher = Batcher(max_rows=2, max_bytes=1 << 20)
    made = submission(4)
    batcher.add(made)
    first, second = batcher.next_request(partial=False), batcher.next_request(partial=False)
    assert first is not None
    assert second is not None
    Batcher.fail(first)
    assert Batcher.answer(second, answer_of(second)) == []


@pytest.mark.parametrize("rows", [0, -1])
def test_limits_are_held(rows: int) -> None:
    """A batcher without room and a submission without rows are refused."""
    with pytest.raises(ValueError, match=r"one row at least"):
        Batcher(max_rows=rows, max_bytes=1)
    with pytest.raises(ValueError, match=r"nothing to send"):
        Batcher(max_rows=1, max_bytes=1).add(Submission({}, 0))


def test_row_bounds() -> None:
    """Bounds of events from their counts."""
    assert row_bounds([2, 0, 3]) == [0, 2, 2, 5]
    assert row_bounds([]) == [0]
