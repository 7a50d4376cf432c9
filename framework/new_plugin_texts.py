"""The files of a new plug-in. `$$name` is filled in by new_plugin.py."""

from __future__ import annotations

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$project"
version = "0.1.0"
description = "$plugin, a $kind for evproc"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["evproc"]

[project.optional-dependencies]
test = ["pytest"]

# The name here is the one that configurations use, and that `evproc modules` shows.
[project.entry-points."evproc.modules"]
$plugin = "$package.$module:$plugin"

[tool.setuptools.packages.find]
where = ["src"]

[tool.setuptools.package-data]
$package = ["py.typed"]
"""

README = """\
# $project

`$plugin`, a $kind for evproc.

```sh
pip install -e .
pytest
evproc modules $plugin
```

In a workflow:

```python
from $package.$module import $plugin

$use
```
"""

USE = {
    "producer": 'process.made = $plugin(pt="Jet_pt", threshold=40.0)\nprocess.path = Path(process.made)',
    "filter": 'process.chosen = $plugin(pt="Jet_pt", at_least=2)\nprocess.path = Path(process.chosen)',
    "analyzer": 'process.look = $plugin(pt="Jet_pt")\nprocess.end = EndPath(process.look)',
    "service": "process.shared = $plugin(limit=1000)",
}

_PRODUCER = '''\
"""`$plugin`: a product for each event."""

from __future__ import annotations

from evproc.framework import Event, Input, InputTag, Parameter, Producer


class $plugin(Producer):
    """Sum of the transverse momenta above a threshold, GeV. This line is what `evproc modules` shows."""

    produces = "float64"

    class Config(Producer.Config):
        """What is summed."""

        pt: InputTag = Input("Jet_pt", description="transverse momenta, a list per event, GeV")
        threshold: float = Parameter(30.0, description="smaller ones do not count", unit="GeV", ge=0)

    def produce(self, event: Event) -> float:
        """The product of one event."""
        pt = event[self.config.pt]
        return float(pt[pt > self.config.threshold].sum())
'''

_FILTER = '''\
"""`$plugin`: which events go on."""

from __future__ import annotations

from evproc.framework import Event, Filter, Input, InputTag, Parameter


class $plugin(Filter):
    """Lets events pass that have enough objects above a threshold. This line is what `evproc modules` shows."""

    class Config(Filter.Config):
        """What is counted."""

        pt: InputTag = Input("Jet_pt", description="transverse momenta, a list per event, GeV")
        threshold: float = Parameter(30.0, description="smaller ones do not count", unit="GeV", ge=0)
        at_least: int = Parameter(1, description="objects that are needed", ge=0)

    def filter(self, event: Event) -> bool:
        """Whether the event goes on along its path."""
        pt = event[self.config.pt]
        return bool((pt > self.config.threshold).sum() >= self.config.at_least)
'''

_ANALYZER = '''\
"""`$plugin`: looks at events."""

from __future__ import annotations

from typing import Any

from evproc.framework import Analyzer, Event, Input, InputTag, Job


class $plugin(Analyzer):
    """Finds the largest transverse momentum of all events, GeV. This line is what `evproc modules` shows."""

    class Config(Analyzer.Config):
        """What is looked at."""

        pt: InputTag = Input("Jet_pt", description="transverse momenta, a list per event, GeV")

    def begin_job(self, job: Job) -> None:
        """Before the first event."""
        self.largest = 0.0

    def analyze(self, event: Event) -> None:
        """Look at one event; they come in the order of the input."""
        self.largest = max(self.largest, float(max(event[self.config.pt], default=0.0)))

    def job_results(self) -> dict[str, Any]:
        """What `process.run().results[label]` holds afterwards."""
        return {"largest": self.largest}
'''

_SERVICE = '''\
"""`$plugin`: something that a whole job shares."""

from __future__ import annotations

from typing import Any

from evproc.framework import Job, Parameter, Service


class $plugin(Service):
    """Counts what modules hand in, up to a limit. This line is what `evproc modules` shows."""

    class Config(Service.Config):
        """How much."""

        limit: int = Parameter(1000, description="more than this is not counted", ge=0)

    async def begin_job(self, job: Job) -> None:
        """Before the modules' `begin_job`, in which they find it: `job.services`."""
        self.counted = 0

    def count(self, number: int) -> None:
        """Called by modules."""
        self.counted = min(self.config.limit, self.counted + number)

    def report(self) -> dict[str, Any]:
        """Figures for the report of the job."""
        return {"counted": self.counted}
'''

CODE = {"producer": _PRODUCER, "filter": _FILTER, "analyzer": _ANALYZER, "service": _SERVICE}

_HEAD = '''\
"""A few events in, products out."""

from __future__ import annotations

import pytest
from evproc.framework import ConfigurationError
from evproc.framework.testing import run_module

from $package.$module import $plugin

EVENTS = [{"Jet_pt": [50.0, 40.0, 20.0]}, {"Jet_pt": []}, {"Jet_pt": [35.0]}]

'''
_WRONG = '''

def test_a_wrong_parameter_is_found() -> None:
    """A parameter out of its range is a fault, before any event."""
    with pytest.raises(ConfigurationError, match="threshold"):
        run_module($plugin(threshold=-1.0), EVENTS)
'''

TESTS = {
    "producer": _HEAD
    + '''
@pytest.mark.parametrize("block", [1, 1000])
def test_sums(block: int) -> None:
    """What is below the threshold does not count; how many events go together makes no difference."""
    assert run_module($plugin(threshold=30.0), EVENTS, block=block) == [90.0, 0.0, 35.0]
'''
    + _WRONG,
    "filter": _HEAD
    + '''
@pytest.mark.parametrize("block", [1, 1000])
def test_passes(block: int) -> None:
    """Events with enough objects pass; how many events go together makes no difference."""
    assert run_module($plugin(at_least=2), EVENTS, block=block) == [True, False, False]
'''
    + _WRONG,
    "analyzer": _HEAD.replace("import pytest\n", "").replace("from evproc.framework import ConfigurationError\n", "")
    + '''
def test_sees_all() -> None:
    """The largest of all events is found, also if the last has none."""
    module = $plugin()
    run_module(module, [*EVENTS, {"Jet_pt": []}])
    assert module.job_results() == {"largest": 50.0}
''',
    "service": '''\
"""A job that shares the service."""

from __future__ import annotations

from evproc.framework import Analyzer, EndPath, Event, Job, Process
from evproc.framework.testing import EventSource

from $package.$module import $plugin


class Counts(Analyzer):
    """Hands in the number of jets."""

    consumes = ("Jet_pt",)

    def begin_job(self, job: Job) -> None:
        """Find the service."""
        self.shared = job.services["shared"]

    def analyze(self, event: Event) -> None:
        """One event."""
        self.shared.count(len(event["Jet_pt"]))


def test_counts() -> None:
    """It counts up to its limit, and reports that."""
    process = Process("TEST")
    process.source = EventSource([{"Jet_pt": [50.0, 40.0]}, {"Jet_pt": []}, {"Jet_pt": [35.0]}])
    process.shared = $plugin(limit=100)
    process.counts = Counts()
    process.end = EndPath(process.counts)
    assert process.run().services["shared"] == {"counted": 3}
''',
}
