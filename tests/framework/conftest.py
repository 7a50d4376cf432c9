"""What the tests of the core share: after each test nothing of a job may be left over."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No thread of a job outlives its test, and no task or coroutine is lost: collecting here makes Python warn of them."""
    gc.freeze()  # what is there before the test need not be looked at after it
    yield
    gc.collect()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("evproc")]
    assert not left, f"threads are left: {left}"
