"""What the tests of the core share: after each test nothing of a job may be left over."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def nothing_is_lost() -> Iterator[None]:
    """Whatever a module's tests have left in circles is collected after them: Python then warns of lost coroutines."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No thread of a job outlives its test, and no task or coroutine is lost: collecting here makes Python warn of them."""
    yield
    gc.collect(1)  # what is young: to look at all that there is takes longer than most tests
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("evproc")]
    assert not left, f"threads are left: {left}"
