"""What a job says of where its outputs come from."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest

from evproc.framework import EndPath, Event, Job, OutputModule, Path, Process, Service
from evproc.framework.dumping import results_hash
from evproc.framework.provenance import packages
from tests.framework.core_toys import Add, numbers


class Says(Service):
    """A service that outputs depend on."""

    def provenance(self) -> dict[str, Any]:
        """A fact."""
        return {"answer": 42}


class Keeper(OutputModule):
    """Keeps the record that it is given at its end."""

    consumes = ("x",)

    def begin_job(self, job: Job) -> None:
        """Note the function."""
        self.record = job.record
        self.found: dict[str, Any] = {}

    def write(self, event: Event) -> None:
        """Nothing is written."""

    def commit(self) -> None:
        """The job has processed its last event."""
        self.found = dict(self.record())


def job_of(count: int, **options: Any) -> Process:
    """A job with an output module."""
    process = Process("P", **options)
    process.source = numbers(count)
    process.double = Add(of=["x"])
    process.out = Keeper()
    process.says = Says()
    process.path = Path(process.double)
    process.end = EndPath(process.out)
    return process


def test_the_record_of_a_job() -> None:
    """Process, hash, versions, the expanded configuration, events, and what services say."""
    process = job_of(7)
    process.run()
    found = process.out.found
    assert (found["process"], found["events"], found["ended"], found["failed_events"]) == ("P", 7, "", 0)
    assert found["configuration"] == results_hash(process)
    assert found["packages"]["numpy"] == metadata.version("numpy")
    assert "torch" not in packages(process)
    assert list(found["expanded"]["modules"]) == ["source", "double", "out"]
    assert found["services"] == {"says": {"answer": 42}}


@pytest.mark.parametrize("options", [{"block": 1}, {"block": 3, "streams": 2}, {"block": 1000, "streams": 16}])
def test_the_record_does_not_depend_on_where_and_how_fast(options: dict[str, Any]) -> None:
    """Two runs of one job say the same, whatever the size of blocks, but for the options themselves."""
    one, other = job_of(11), job_of(11, **options)
    one.run()
    other.run()
    expanded = other.out.found["expanded"].pop("options")
    one.out.found["expanded"].pop("options", None)
    assert other.out.found == one.out.found
    assert expanded == options


def test_a_configuration_that_cannot_be_written_is_said_so() -> None:
    """A class that is defined in a function has no name to be found by; the record says why, and the job runs."""

    class Local(Add):
        """A class in a function."""

    process = job_of(2)
    process.local = Local()
    process.other = Path(process.local)
    process.run()
    assert "expanded" not in process.out.found
    assert "Local" in process.out.found["not_expanded"]
