"""What a job says of its inference: figures per model and server, the split of the latency, logs, changes, metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evproc.framework import Analyzer, ConfigurationError, EndPath, Event, Job, Observer, Process
from evproc.framework.job import check
from evproc.framework.logs import CATEGORIES, categories, logger, shown
from evproc.modules import Metrics, Tracer
from evproc.sonic_client.fake import FakeServer, Unavailable
from evproc.sonic_client.figures import schema
from evproc.sonic_client.fleet import Turns
from evproc.sonic_client.health import Watch
from evproc.sonic_client.server_counts import ServerCount
from evproc.sonic_client.tensors import ModelStatistics
from tests.framework.core_toys import numbers
from tests.modules.test_tracer import checked
from tests.sonic_client.test_service import DOUBLE, RIGHT, job

ROW = 8
"""Bytes of a row of the model, in and out."""


def statistics(requests: int, queue: float, compute: float) -> ModelStatistics:
    return ModelStatistics("m", 10 * requests, requests, requests, 0, queue, compute)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_figures_are_those_of_the_rows(block: int) -> None:
    """Rows, events and bytes are counted once, whatever the blocks; the parts of the latency sum up to it."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        process.set_options(block=block)
        figures = process.run().services["inference"]
        assert process.look.rows == RIGHT
        sent = len(server.requests)
    jsonschema.validate(figures, schema())
    (entry,) = figures["models"]
    assert (entry["rows"], entry["events"], entry["requests"]) == (180, 40, sent)
    assert entry["sent_bytes"] == entry["received_bytes"] == 180 * ROW
    assert entry["sent_bytes_per_event"] == entry["received_bytes_per_event"] == 180 * ROW / 40
    assert entry["answered"] == {"1": 180}
    assert entry["server_requests"] == entry["requests"]
    parts = entry["wire_s"] + entry["server_queue_s"] + entry["server_compute_s"]
    assert parts == pytest.approx(entry["latency_mean_s"])
    assert entry["waiting_s"] >= 0
    assert (entry["again_s"], entry["failures"], entry["circuit"], entry["circuit_opened"]) == (0, 0, "closed", 0)
    assert figures["outcomes"]["double"]["events"] == 40


def test_time_in_failed_attempts_is_told_apart() -> None:
    """Pauses before a retry are not part of the latency of the attempt that was answered."""
    with FakeServer([DOUBLE], faults=[Unavailable()]) as server:
        (entry,) = job(server).run().services["inference"]["models"]
    assert entry["again_s"] > 0
    assert (entry["failures"], entry["retries"]) == (1, 1)


def test_counting_begins_at_the_first_look() -> None:
    """What a server did for others before does not count, and one that was started again counts on."""
    count = ServerCount(statistics(1000, 5.0, 9.0))
    assert count.mean_queue_s is None
    assert count.saw(statistics(1010, 5.5, 10.0), "s").requests == 10
    assert (count.requests, count.mean_queue_s, count.mean_compute_s) == (10, 0.05, 0.1)
    grown = count.saw(statistics(10, 0.5, 3.0), "s")
    assert (grown.requests, grown.rows, grown.queue_s, grown.compute_s) == (10, 100, 0.5, 3.0)
    assert (count.requests, count.mean_compute_s) == (20, 0.2)


class Notes(Observer):
    """Keeps what it is told of servers."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.seen: list[Any] = []

    def on_statistics(self, statistics: Any) -> None:
        self.seen.append(statistics)

    def on_change(self, change: Any) -> None:
        self.seen.append(change)

    def on_request_end(self, request: Any) -> None:
        self.seen.append(request)


def test_observers_are_told_what_servers_counted() -> None:
    """The sums over the intervals are those of the job; requests know what they waited and what came back."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        process.notes = Notes()
        (entry,) = process.run().services["inference"]["models"]
    counted = [info for info in process.notes.seen if hasattr(info, "queue_s")]
    assert sum(info.requests for info in counted) == entry["requests"]
    assert {(info.server, info.model) for info in counted} == {(server.url, "double")}
    ended = [info for info in process.notes.seen if hasattr(info, "received")]
    assert sum(info.received for info in ended) == entry["received_bytes"]
    assert sum(info.waited for info in ended) == pytest.approx(entry["waiting_s"] * entry["requests"])


def test_circuits_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """A circuit that opens and closes is in the report, in the log and with observers."""
    circuit = {"circuit": {"failures": 2, "pause": 0.001}}
    with (
        FakeServer([DOUBLE], faults=[Unavailable(), Unavailable()]) as server,
        caplog.at_level(logging.DEBUG, "evproc"),
    ):
        process = job(server, service=circuit)
        process.notes = Notes()
        figures = process.run().services["inference"]
        assert process.look.rows == RIGHT
    told = [f"circuit of model 'double' on {server.url} was {what}" for what in ("opened", "closed")]
    assert figures["changes"] == told
    assert [info.text for info in process.notes.seen if hasattr(info, "text")] == told
    assert figures["models"][0]["circuit_opened"] == 1
    by_category = {record.name for record in caplog.records}
    assert by_category == {f"evproc.{category}" for category in CATEGORIES}
    (warning,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warning == told[0]


def test_only_what_is_asked_for_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Categories that are shown go to stderr, others nowhere; afterwards all is as before."""
    with shown(categories("discovery")):
        logger("discovery").info("found")
        logger("failure").warning("failed")
    logger("discovery").warning("found later")
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.partition(" evproc.")[2] for line in said.err.splitlines()] == ["discovery: found"]
    assert categories("all") == list(CATEGORIES)
    with pytest.raises(ValueError, match="did you mean 'failure'"):
        categories("failur")


def test_a_trace_has_curves_of_servers(tmp_path: Path) -> None:
    """What a request takes in the queue and in computing is a curve of the server; a request says what it waited here."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        process.tracer = Tracer(file=str(tmp_path / "trace.json"))
        process.run()
    events = checked(tmp_path / "trace.json")
    (pid,) = {event["pid"] for event in events if event.get("args", {}).get("name") == server.url}
    curves = {event["name"] for event in events if event["ph"] == "C" and event["pid"] == pid}
    assert curves == {f"double: server {what} of a request" for what in ("queue", "compute")}
    requests = [event["args"] for event in events if event.get("cat") == "request"]
    assert sum(args["received_bytes"] for args in requests) == 180 * ROW
    assert all(args["waited_ms"] >= 0 for args in requests)


class Scrape(Analyzer):
    """Reads the metrics in the middle of the job, as somebody from outside."""

    threaded = True
    consumes = ("double",)

    def begin_job(self, job: Job) -> None:
        self._metrics = job.service(Metrics)
        self.answers: list[str] = []

    def analyze(self, event: Event) -> None:
        if event.id.event % 10 == 0:
            with urllib.request.urlopen(self._metrics.url) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain")
                self.answers.append(answer.read().decode())


def scraped(server: FakeServer, **metrics: Any) -> Process:
    process = job(server)
    process.metrics = Metrics(**metrics)
    process.scrape = Scrape()
    process.last = EndPath(process.scrape)
    return process


def test_metrics_are_read_during_a_job() -> None:
    """Prometheus gets what is counted while the job runs, and nobody after it."""
    from prometheus_client.parser import text_string_to_metric_families

    with FakeServer([DOUBLE]) as server:
        process = scraped(server)
        report = process.run()
    assert process.look.rows == RIGHT
    assert len(process.scrape.answers) == report.services["metrics"]["answers"] >= 3
    families = {family.name: family for family in text_string_to_metric_families(process.scrape.answers[-1])}
    (rows,) = families["evproc_inference_rows"].samples
    assert rows.labels == {"service": "inference", "server": server.url, "model": "double"}
    assert 0 < rows.value <= 180
    assert families["evproc_inference_rows"].type == "counter"
    assert families["evproc_inference_in_flight"].type == "gauge"
    assert families["evproc_events"].samples[0].labels == {"process": "P"}
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(report.services["metrics"]["url"])


def test_a_port_that_is_taken_is_a_fault() -> None:
    """It is found before the first event; the endpoint is on loopback unless an address is given."""
    with FakeServer([DOUBLE]) as server:
        port = int(server.url.rpartition(":")[2])
        faults, _ = check(scraped(server, port=port))
        assert [fault.message for fault in faults] == [
            f"cannot listen on 127.0.0.1, port {port}: Address already in use"
        ]
        with pytest.raises(ConfigurationError):
            scraped(server, port=port).run()


def test_a_job_without_inference_has_metrics_too() -> None:
    """Events, blocks and memory are those of the job itself."""
    process = Process("P")
    process.source = numbers(10)
    process.metrics = Metrics()
    report = process.run()
    assert report.services["metrics"]["url"].startswith("http://127.0.0.1:")


def test_provenance_names_the_version_that_answered(tmp_path: Path) -> None:
    """Also where no version was asked for: it is what the server says in its answers."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        process.run()
        said = process.inference.provenance()
    (model,) = said["models"]
    assert model["servers"] == [{"server": server.url, "rows": 180, "answered": {"1": 180}}]
    assert json.loads(json.dumps(said)) == said


def test_servers_are_asked_once_per_poll() -> None:
    """What servers count is asked aside, at each look of the watch, and never by a request."""
    asked: list[str] = []

    async def aside() -> None:
        asked.append("statistics")

    async def find() -> None:
        asked.append("servers")

    watch = Watch(1.0, 1.0, list, find, Turns(), aside=aside)
    asyncio.run(watch.look())
    assert asked == ["servers", "statistics"]
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        process.run()
        requests = process.inference.report()["models"][0]["requests"]
        assert requests > 2
        (count,) = process.inference._counts.counts.values()
    assert count.looks == 2, "at the begin and at the end of a job that is shorter than a period"
