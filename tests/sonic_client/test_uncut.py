"""Rows that were cut from a column are not put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import ModelContractError
from evproc.framework.handed_out import HandedOut
from evproc.framework.store import Store
from evproc.framework.testing import make_store
from evproc.sonic_client.contract import gather
from evproc.sonic_client.tensors import ModelMetadata, TensorSpec

MODEL = ModelMetadata("net", ("1",), "fake", 8, (TensorSpec("x", np.dtype("f4"), (2,)),), ())
EVENTS = 7
FLAT = np.arange(EVENTS * 3 * 2, dtype="f4").reshape(EVENTS, 3, 2)
RAGGED = [FLAT[0, : 1 + number % 3] + number for number in range(EVENTS)]


def read(values: Any) -> tuple[Store, list[Any]]:
    """A block with a product, and what its events show of it."""
    store = make_store({"rows": values})
    return store, [event["rows"] for event in store.events]


@pytest.mark.parametrize("values", [FLAT, RAGGED], ids=["as many in each", "ragged"])
@pytest.mark.parametrize(("first", "last"), [(0, EVENTS), (2, 5), (6, 7)])
def test_the_column_itself_is_sent(values: Any, first: int, last: int) -> None:
    """Rows as events show them are those of the column, without a copy, and just as if they were put together."""
    store, shown = read(values)
    work = [{"x": rows} for rows in shown[first:last]]
    tensors, bounds = gather(HandedOut(work, store, first), MODEL)
    plain, plain_bounds = gather(work, MODEL)
    assert tensors["x"].tobytes() == plain["x"].tobytes()
    assert tensors["x"].shape == plain["x"].shape
    assert list(bounds) == list(plain_bounds)
    assert np.shares_memory(tensors["x"], shown[first])


CHANGES: list[Callable[[list[Any]], Sequence[Any]]] = [
    lambda rows: rows[::-1],
    lambda rows: [*rows[:-1], rows[0]],
    lambda rows: [*rows[:-1], rows[-1].copy()],
    lambda rows: [2 * part for part in rows],
    lambda rows: [part[:1] for part in rows],
]


@pytest.mark.parametrize("values", [FLAT, RAGGED], ids=["as many in each", "ragged"])
@pytest.mark.parametrize("change", CHANGES)
def test_anything_else_is_put_together(values: Any, change: Callable[[list[Any]], Sequence[Any]]) -> None:
    """Other orders, copies, parts and results of arithmetic are sent as they are."""
    store, shown = read(values)
    rows = change(shown)
    tensors, bounds = gather(HandedOut([{"x": part} for part in rows], store, 0), MODEL)
    assert tensors["x"].tolist() == np.concatenate(rows).tolist()
    assert np.diff(bounds).tolist() == [len(part) for part in rows]


def test_what_a_module_returned_is_not_what_was_made_of_it() -> None:
    """A column made of the arrays of a module may have another type than they; they are checked themselves."""
    store = make_store({"n": np.arange(2)})
    made = [np.ones((1, 2), "f4"), np.ones((1, 2), "f8")]
    store.put_values("rows", made, None)
    _ = store.column("rows", None)
    with pytest.raises(ModelContractError, match="float64"):
        gather(HandedOut([{"x": rows} for rows in made], store, 0), MODEL)


def test_a_column_of_another_type_is_refused_with_its_event() -> None:
    """The column is held against the model as the rows would be."""
    store, shown = read(FLAT.astype("f8"))
    with pytest.raises(ModelContractError, match="float64"):
        gather(HandedOut([{"x": rows} for rows in shown], store, 0), MODEL)
