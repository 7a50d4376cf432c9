"""The scaling law, the simulation of queues, and what they take from options, files and reports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evproc.framework.cli.main import app
from evproc.framework.errors import ConfigurationError, InputError
from evproc.framework.report import Report
from evproc.sonic_client.planning import inputs as planning
from evproc.sonic_client.planning import units
from evproc.sonic_client.planning.law import PlanInputs, event_time, predict, saturation
from evproc.sonic_client.planning.simulation import simulate

ROOT = Path(__file__).resolve().parents[2]
NUSONIC = ROOT / "docs" / "examples" / "nusonic.yaml"
REST_OF_MODULE = 15.4 - 7.2
"""What the module takes beside its inference, s: measured with one client (module, and inference alone)."""
PAGE = ROOT / "docs" / "planning.md"
POINT = re.compile(
    r"^\| (?P<servers>\d GPUs?[^|]*) \| (?P<clients>\d+) \| (?P<module>[\d.]+) ± (?P<spread>[\d.]+) \| (?P<law>[\d.]+) \| "
    r"(?P<simulated>[\d.]+) \| [+-]\d+ % \| (?P<event>\d+) ± \d+ \| (?P<simulated_event>\d+) \| [+-]\d+ % \|$",
    re.MULTILINE,
)
"""A point of nuSONIC in the page's table: what was measured, and what is predicted; times in s."""
SERVERS: dict[str, dict[str, Any]] = {
    "1 GPU": {},
    "4 GPUs": {"servers": 4},
    "4 GPUs, no dynamic batching": {"servers": 4, "t_gpu": 2.75},
}
OUTLIER = ("1 GPU", 8)
"""Measured above what 4 and 16 clients have seen, by a fifth: not a matter of load."""
OTHER_MACHINES = {("1 GPU", 1), ("1 GPU", 8), ("4 GPUs", 1), ("4 GPUs", 4), ("4 GPUs", 52)}
"""Where clients took much longer than the published constant says for what they computed themselves."""


def nusonic(**changes: Any) -> PlanInputs:
    """The published constants."""
    return planning.gathered(changes, NUSONIC)


def plan(*arguments: str) -> Any:
    """The command."""
    return CliRunner().invoke(app, ["plan", *arguments])


def test_published_figures() -> None:
    """The law gives the published 68 clients per GPU and 2.7 times, from the published constants."""
    prediction = predict(nusonic())
    assert int(prediction.clients_per_server) == 68
    assert prediction.speed_up == pytest.approx(2.7, abs=0.05)
    assert saturation(nusonic(t_gpu=2.75)) == pytest.approx(44.7, abs=0.1)
    assert prediction.server_network == pytest.approx(2.29e9, rel=0.01)


@pytest.mark.parametrize("ratio", [0.1, 0.7, 1.0, 1.3, 4.0])
def test_the_law_is_the_published_one(ratio: float) -> None:
    """With one block in flight the law is the published formula, term by term."""
    one = nusonic(servers=3)
    t_ideal = 0.35 * 330 + 1.77 + one.t_transmit + one.t_travel
    clients = ratio * 3 * t_ideal / 1.77
    published = 0.35 * 330 + 1.77 * (1 + max(0, clients / 3 - t_ideal / 1.77)) + one.t_transmit + one.t_travel
    assert event_time(one, clients) == pytest.approx(published, rel=1e-12)


def test_measured_table() -> None:
    """Below saturation the module's time is predicted within 20 % of what was measured, and the page's table says so."""
    points = list(POINT.finditer(PAGE.read_text()))
    assert len(points) == 28
    module_off: set[tuple[str, int]] = set()
    law_off: set[tuple[str, int]] = set()
    event_off: set[tuple[str, int]] = set()
    for point in points:
        place = point["servers"], int(point["clients"])
        module, spread, event = (float(point[name]) for name in ("module", "spread", "event"))
        inputs = nusonic(**SERVERS[place[0]])
        law = event_time(inputs, place[1]) - inputs.t_client + REST_OF_MODULE
        simulated = simulate(inputs, place[1], balanced=False).inference_s + REST_OF_MODULE
        whole = inputs.t_client - REST_OF_MODULE + simulated
        assert (law, simulated) == pytest.approx((float(point["law"]), float(point["simulated"])), abs=0.0501)
        assert whole == pytest.approx(float(point["simulated_event"]), abs=0.501)
        assert event - module + law == pytest.approx(event, rel=0.032)
        for predicted, seen, off in (
            (simulated, module, module_off),
            (law, module, law_off),
            (whole, event, event_off),
        ):
            if abs(predicted / seen - 1) > 0.2:
                off.add(place)
        assert abs(simulated - module) < 0.2 * module or abs(simulated - module) < spread
    assert module_off == {OUTLIER}
    assert law_off == {OUTLIER, ("1 GPU", 64)}
    assert event_off == OTHER_MACHINES


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("requests", [0.25, 1, 4])
def test_simulation_far_from_saturation_is_the_law(streams: int, requests: float) -> None:
    """One client is as fast as the law says, and many share the capacity of the servers."""
    inputs = PlanInputs(t_rest=0.02, t_gpu=0.002, latency=0.01 / requests, requests=requests, streams=streams)
    assert simulate(inputs, 1, spread=0.0).event_s == pytest.approx(inputs.t_alone, rel=0.02)
    many = 2 * round(saturation(inputs))
    assert simulate(inputs, many).throughput == pytest.approx(1 / inputs.t_gpu, rel=0.02)


def test_simulation_depends_on_its_seed_alone() -> None:
    """The same seed gives the same figures, another one others."""
    first, again, other = (simulate(nusonic(), 20, events=4, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.inference_s != other.inference_s


def test_a_link_that_all_share_may_be_full_first() -> None:
    """Where the servers' link is slower than the servers, it sets the saturation, in law and simulation."""
    inputs = PlanInputs(t_rest=0.1, t_gpu=0.001, data=1e6, server_bandwidth=1e9)
    prediction = predict(inputs)
    assert prediction.limited_by == "network of the servers"
    assert prediction.capacity == pytest.approx(125)
    assert simulate(inputs, 40, events=8).throughput == pytest.approx(125, rel=0.02)


def test_units() -> None:
    """Numbers carry units; a number alone is in seconds, bytes or bits per second."""
    assert units.parse("12 ms", units.TIMES) == pytest.approx(0.012)
    assert units.parse("4.06Gbit", units.SIZES) == pytest.approx(507.5e6)
    assert units.parse("250 MB/s", units.RATES) == units.parse("2e9", units.RATES) == pytest.approx(2e9)
    assert units.numbers("1,8, 2-4") == [1, 2, 3, 4, 8]
    for wrong in ("fast", "3 parsec"):
        with pytest.raises(ValueError, match=r"units are ns, us, ms, s, min, h"):
            units.parse(wrong, units.TIMES)
    with pytest.raises(ValueError, match="no range"):
        units.numbers("5-1")


def job(busy: float = 0.4, compute: float | None = 0.004) -> Report:
    """What the report of a job has that a plan needs: 100 events in 1 s, two events to a request."""
    model = {
        "model": "m",
        "server": "grpc://gpu",
        "requests": 50,
        "latency_total_s": 1.6,
        "sent_bytes": 1e6,
        "received_bytes": 1e5,
        "server_compute_s": compute,
        "server_queue_s": 0.001,
    }
    services: dict[str, Any] = {"inference": {"models": [model]}, "other": {}}
    waiting = 1.0 - busy
    return Report("P", events=100, wall_s=1.0, busy_s=busy, waiting_external_s=waiting, services=services)


def test_reports() -> None:
    """A report gives all that a plan needs but the time without servers; several are taken together."""
    found = planning.gathered({}, reports=[job(0.3), job(0.5)], without=Report("P", events=10, wall_s=0.5))
    assert found.t_client == pytest.approx(0.004)
    assert found.t_gpu == pytest.approx(0.002)
    assert (found.requests, found.data, found.together) == (0.5, 11_000, True)
    assert found.t_alone == pytest.approx(0.01), "as measured"
    assert found.latency == pytest.approx((1.6 - 50 * 0.005) / 50)
    assert predict(found).speed_up == pytest.approx(0.05 / found.t_alone)
    with pytest.raises(ConfigurationError, match=r"plan\.t_gpu: is missing"):
        planning.gathered({}, reports=[job(compute=None)])
    with pytest.raises(InputError, match="no requests"):
        planning.gathered({}, reports=[Report("P", events=1, wall_s=1.0)])


def test_the_command(tmp_path: Path) -> None:
    """The command shows law and simulation side by side, as a table, JSON and PNG; options win over a file."""
    done = plan("--file", str(NUSONIC), "--clients", "1")
    assert done.exit_code == 0, done.output
    assert "68.9 clients saturate one server" in done.stdout
    assert "2.71 times faster" in done.stdout
    picture = tmp_path / "plan.png"
    arguments = ["--file", str(NUSONIC), "--t-gpu", "2.75s", "--clients", "1", "--png", str(picture), "--json"]
    found = json.loads(plan(*arguments).stdout)
    assert found["law"]["saturation"] == pytest.approx(44.7, abs=0.1)
    assert found["inputs"]["given"]["t_gpu"] == 2.75
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--t-gpu", "1s", "--t-rest", "2 parsec", "--servers", "0"], ["plan.t_rest: ", "parsec", "plan.servers: "]),
        (["--t-rest", "1s"], ["plan.t_gpu: is missing: time that an event keeps one server busy, s"]),
        (["--t-gpu", "1s", "--t-cpu", "1s"], ["needs t_cpu and p, or t_rest"]),
        (["--t-gpu", "1s", "--t-rest", "1s", "--clients", "many"], ["'many' is no list", "--clients"]),
        (["--file", "absent.yaml"], ["cannot read 'absent.yaml'"]),
    ],
)
def test_what_is_wrong_is_said_at_once(arguments: list[str], said: list[str]) -> None:
    """All faults of the inputs are told together, with their names and units."""
    done = plan(*arguments)
    assert done.exit_code in (2, 3)
    assert [text for text in said if text not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_a_file_with_an_unknown_name_says_what_is_near(tmp_path: Path) -> None:
    """A misspelt name of a file is a fault with the nearest name."""
    file = tmp_path / "inputs.yaml"
    file.write_text("t_rest: 1 s\nt_gpu: 1 s\nlatencies: 1 ms\n")
    with pytest.raises(ConfigurationError, match="latency"):
        planning.gathered({}, file)
