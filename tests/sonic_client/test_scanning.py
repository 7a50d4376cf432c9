"""The parts of a scan: what is counted when, where a server is full, what is kept, the longer way to a server."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest

from evproc.framework.errors import ConfigurationError, InputError
from evproc.framework.report import Report
from evproc.sonic_client.scanning import scan as scanning
from evproc.sonic_client.scanning.clients import Seen
from evproc.sonic_client.scanning.delay import Delay
from evproc.sonic_client.scanning.page import page
from evproc.sonic_client.scanning.points import Measured, Point, Result, as_csv, grid
from evproc.sonic_client.scanning.saturation import fit_saturation
from evproc.sonic_client.scanning.scan import Folder, Setup, settings_of
from evproc.sonic_client.scanning.summary import lines
from evproc.sonic_client.scanning.window import ClientTimes, common_window, events_within, measure

SETUP = Setup("workflow.py", seconds=10.0, warm_up=1.0)


def client(begin: float, period: float, blocks: int, events: int = 5) -> ClientTimes:
    """One block after another, each with one request in its last tenth."""
    ends = [(begin + number * period, begin + (number + 1) * period) for number in range(blocks)]
    requests = [(end - 0.1 * period, end, 3 * events, False) for _, end in ends]
    return ClientTimes([(start, end, events) for start, end in ends], requests)


def report(compute: float | None = 0.01) -> Report:
    """Of a client that was busy for half of its time."""
    model = {"model": "m", "server": "s", "requests": 10, "latency_total_s": 0.2, "server_compute_s": compute}
    return Report("P", events=50, wall_s=1.0, busy_s=0.5, services={"inference": {"models": [model]}})


def test_the_rate_is_exact_whatever_the_phase() -> None:
    """Clients of one block after another have their own rates, though none begins or ends with the window or another."""
    clients = [client(begin, period, 100) for begin, period in ((0.0, 0.1), (0.037, 0.13), (0.5, 0.21))]
    begin, end = common_window(clients, 1.0)
    assert (begin, end) == (1.5, 10.0)
    found = measure(clients, [report()] * 3, warm_up=1.0)
    assert found.throughput == pytest.approx(5 / 0.1 + 5 / 0.13 + 5 / 0.21)
    assert found.event_s == pytest.approx(3 / found.throughput)
    assert found.skew_s == 0.5
    assert found.rows_per_request == 15
    assert (found.client_busy, found.server_s) == (0.5, pytest.approx(0.01))
    assert found.server_busy == pytest.approx(0.01 * found.requests / 8.5)


def test_only_the_common_time_counts() -> None:
    """A client that goes on alone, faster, does not raise the throughput; nor do the ends of jobs."""
    slow, fast = client(0.0, 1.0, 10), client(0.0, 1.0, 10)
    fast.blocks += [(10 + 0.1 * number, 10.1 + 0.1 * number, 5) for number in range(100)]
    assert measure([slow, fast], [report()], warm_up=0.5).throughput == pytest.approx(10)
    assert common_window([slow, fast], 0.5, seconds=4.0) == (0.5, 4.0)


def test_no_common_time_is_an_error_that_says_what_to_do() -> None:
    """Clients that hardly meet, or have done nothing, are no measurement."""
    with pytest.raises(InputError, match=r"run together for 0\.5 s, of which 1 s .* --seconds"):
        common_window([client(0.0, 0.1, 10), client(0.5, 0.1, 10)], 1.0)
    with pytest.raises(InputError, match="no block of events"):
        common_window([client(0.0, 0.1, 10), ClientTimes()], 0.0)


def test_failed_requests_are_no_latency() -> None:
    """Attempts that fail are counted apart; a server without statistics has no busy time."""
    mixed = client(0.0, 0.1, 100)
    mixed.requests += [(2.0, 7.0, 1, True)] * 3
    found = measure([mixed], [report(compute=None)], warm_up=0.0)
    assert found.failures == 3
    assert found.latency_p99_s == pytest.approx(0.01)
    assert found.server_busy is None
    assert events_within([(1.0, 1.0, 7)], 0.0, 2.0) == 7


@pytest.mark.parametrize(("time", "capacity"), [(0.1, 35.0), (2.0, 1.3)])
def test_saturation_is_found(time: float, capacity: float) -> None:
    """Points of min(N/u, C) give u, C and their product; noise of some percent moves these by as much."""
    clients = (1, 2, 3, 4, 6, 8)
    exact = [(number, min(number / time, capacity)) for number in clients]
    found = fit_saturation(exact)
    assert found is not None
    assert found.clients == pytest.approx(time * capacity)
    noisy = [(number, rate * factor) for (number, rate), factor in zip(exact, (0.97, 1.03) * 3, strict=True)]
    again = fit_saturation(noisy[::-1])
    assert again is not None
    assert again.clients == pytest.approx(time * capacity, rel=0.06)


def test_saturation_that_is_not_reached_is_not_said() -> None:
    """A line that goes on rising, but for a little, has no capacity; no points have no line."""
    found = fit_saturation([(1, 10.0), (2, 20.0), (4, 39.0), (8, 75.0)])
    assert found is not None
    assert found.capacity is None
    assert found.clients is None
    assert fit_saturation([]) is None


def test_a_grid() -> None:
    """Every combination is a point, the number of clients changes first, the repeat last."""
    points = grid([1, 2], batch=[None, 8], latency_s=[0.0, 0.01], repeats=2)
    assert len(points) == len(set(points)) == 16
    assert [point.clients for point in points[:3]] == [1, 2, 1]
    assert [point.repeat for point in points] == [1] * 8 + [2] * 8
    assert str(points[-1]) == "2 clients, batch 8, +10 ms, repeat 2"
    wanted = ["options.max_seconds=5", "options.streams=3", "ask.client.max_rows=8"]
    assert settings_of(Point(2, batch=8, streams=3), ["ask"], 5.0) == wanted


def measured(throughput: float, clients: int) -> Measured:
    """What was seen at a point, in short."""
    return Measured(
        window_s=8.0,
        events=8 * throughput,
        throughput=throughput,
        event_s=clients / throughput,
        requests=100,
        rows_per_request=4.0,
        latency_median_s=0.01,
        latency_p99_s=0.02,
        failures=0,
        client_busy=0.5,
        server_busy=0.25,
        server_s=0.002,
        skew_s=0.001,
    )


def test_what_is_finished_is_kept(tmp_path: Path) -> None:
    """Results come back from the folder; failed points are not finished; another scan is refused unless it is to replace."""
    folder = Folder.open(tmp_path / "scan", SETUP)
    good, bad = Result(Point(1), measured(10.0, 1)), Result(Point(2, latency_s=0.01), None, "a client has ended")
    folder.add(bad)
    folder.add(good)
    again = Folder.open(tmp_path / "scan", SETUP)
    assert again.results == folder.results
    assert again.finished(good.point)
    assert not again.finished(bad.point)
    other = Setup("workflow.py", seconds=2.0, warm_up=1.0)
    with pytest.raises(ConfigurationError, match=r"other settings \(seconds\): --fresh"):
        Folder.open(tmp_path / "scan", other)
    assert Folder.open(tmp_path / "scan", other, fresh=True).results == {}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "scan" / "scan.csv").read_text())))
    assert [(row["clients"], row["throughput"], row["error"]) for row in rows] == [
        ("2", "", "a client has ended"),
        ("1", "10.0", ""),
    ]
    assert as_csv([good]).count("\n") == 2
    (tmp_path / "scan" / "scan.json").write_text("{")
    with pytest.raises(InputError, match="--fresh begins anew"):
        Folder.open(tmp_path / "scan", SETUP)


def test_a_point_that_fails_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed point is a line with its error, the scan goes on behind it, and measures it again the next time."""

    class Launcher:
        """Clients that fail if there are two of them."""

        def __init__(self, *_: object) -> None:
            self.asked: list[int] = []

        def __enter__(self) -> Launcher:
            return self

        def __exit__(self, *_: object) -> None:
            asked.append(self.asked)

        def run(self, arguments: list[str], clients: int, where: Path, timeout: float) -> Any:
            self.asked.append(clients)
            assert arguments[:3] == ["workflow.py", "-o", "server=1"]
            if clients == 2:
                raise InputError("a client has ended with exit code 6: error: no server")
            return Seen([report()] * clients, [client(0.0, 0.1, 100)] * clients)

    asked: list[list[int]] = []
    monkeypatch.setattr(scanning, "ClientLauncher", Launcher)
    servers: Any = type("Servers", (), {"kind": "fake", "settings": lambda _, latency: ["server=1"]})()
    told: list[str] = []
    for _ in range(2):
        folder = Folder.open(tmp_path, SETUP)
        scanning.run_scan(folder, grid([1, 2, 4]), servers, [], lambda point, _: told.append(str(point)))
    assert asked == [[1, 2, 4], [2]]
    assert [result.measured is not None for result in folder.results.values()] == [True, False, True]
    found = lines(folder.results.values(), {})
    assert found[0].rates() == [(1, pytest.approx(50)), (4, pytest.approx(200))]
    text = page("A <scan>", SETUP, {}, list(folder.results.values()), found, {"clients": b"png"})
    assert "A &lt;scan&gt;" in text
    assert "no server" in text
    assert "data:image/png;base64,cG5n" in text
    assert "http" not in text


def test_a_longer_way() -> None:
    """What goes through a relay arrives whole, in order, and a round trip takes so much longer; ends are passed on."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def talk() -> tuple[float, bytes, bytes]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        with Delay("127.0.0.1", server.sockets[0].getsockname()[1], 0.02) as relay:
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            begin = time.perf_counter()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            took = time.perf_counter() - begin
            large = bytes(range(256)) * 4096
            writer.write(large)
            back = await reader.readexactly(len(large))
            writer.write_eof()
            rest = await reader.read()
            writer.close()
            server.close()
            return took, back, rest

    took, back, rest = asyncio.run(talk())
    assert took >= 0.02
    assert back == bytes(range(256)) * 4096
    assert rest == b""
