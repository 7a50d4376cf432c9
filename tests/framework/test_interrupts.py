"""Ctrl-C and SIGTERM: once ends the job cleanly, twice breaks it off. Each job is a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evproc.framework.interrupts import Interrupts

JOB = Path(__file__).with_name("interrupted_job.py")


def outcome(number: signal.Signals, how: str) -> dict[str, Any]:
    """What became of the job; its error output must be empty."""
    done = subprocess.run(
        [sys.executable, "-W", "error", JOB, str(int(number)), how],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_ends_the_job_cleanly(number: signal.Signals) -> None:
    """The blocks that are open are finished, outputs are complete for the events done, and those are a prefix in order."""
    result = outcome(number, "once")
    assert result["interrupted"] is True
    assert result["ordered"]
    assert 300 <= result["events"] < 400
    assert result["events"] % 10 == 0
    assert result["life"] == ["source closed", "end", "commit"]
    assert result["handler restored"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_breaks_it_off(number: signal.Signals) -> None:
    """Work that never ends is cancelled, outputs are discarded, and KeyboardInterrupt is raised."""
    result = outcome(number, "twice")
    assert result["interrupted"] == "KeyboardInterrupt"
    assert result["ordered"]
    assert result["life"] == ["source closed", "end", "discard"]
    assert result["handler restored"]


def test_an_interrupt_in_a_notebook_ends_the_job_cleanly() -> None:
    """Where the job runs in a thread, the main thread hands the interrupt over and waits."""
    result = outcome(signal.SIGINT, "notebook")
    assert result["interrupted"] is True
    assert result["ordered"]
    assert result["life"] == ["source closed", "end", "commit"]


def test_an_interrupt_before_the_job_can_be_stopped_is_not_lost() -> None:
    """What comes early is acted upon when the job is ready; what comes late is nothing."""
    calls: list[str] = []

    async def job(interrupts: Interrupts) -> None:
        interrupts.arm(lambda: calls.append("stop"))
        await asyncio.sleep(0)
        interrupts.disarm()
        interrupts.interrupt()
        await asyncio.sleep(0)

    interrupts = Interrupts()
    interrupts.interrupt()
    asyncio.run(job(interrupts))
    assert calls == ["stop"]
