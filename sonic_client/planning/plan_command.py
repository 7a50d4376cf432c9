"""`evproc plan`: how many clients a server can have, what they gain, and what network they need."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .law import PlanInputs, Prediction
    from .simulation import Simulated

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_TIME, _RATE, _SIZE = "TIME", "RATE", "SIZE"


@app.command()
def plan(
    t_cpu: Annotated[
        str | None, typer.Option(metavar=_TIME, help="CPU time of an event without servers, as 330s or 40ms.")
    ] = None,
    p: Annotated[float | None, typer.Option(help="Part of it that goes to the servers, 0 to 1.")] = None,
    t_rest: Annotated[
        str | None, typer.Option(metavar=_TIME, help="In place of p: CPU time of an event on the client with servers.")
    ] = None,
    t_gpu: Annotated[str | None, typer.Option(metavar=_TIME, help="Time that an event keeps one server busy.")] = None,
    latency: Annotated[
        str | None, typer.Option(metavar=_TIME, help="Of a request, there and back, without the time of the data.")
    ] = None,
    requests: Annotated[float | None, typer.Option(help="Requests of an event; below 1 if events share one.")] = None,
    bandwidth: Annotated[str | None, typer.Option(metavar=_RATE, help="Of the link of one client, as 2Gbit/s.")] = None,
    data: Annotated[str | None, typer.Option(metavar=_SIZE, help="Of an event, there and back, as 507MB.")] = None,
    server_bandwidth: Annotated[
        str | None, typer.Option(metavar=_RATE, help="Of the link of all servers together.")
    ] = None,
    servers: Annotated[int | None, typer.Option(help="Servers that compute one request at a time: GPUs.")] = None,
    streams: Annotated[float | None, typer.Option(help="Blocks that a client has in flight; 1: it waits.")] = None,
    together: Annotated[
        bool | None, typer.Option("--together/--in-turn", help="Whether the requests of an event go at the same time.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The same in YAML or JSON; options win over it.")
    ] = None,
    report: Annotated[
        list[Path],
        typer.Option(metavar="FILE.json", help="Measured: the report of a job with servers; may be repeated."),
    ] = [],  # noqa: B006 - typer reads it, nobody changes it
    without_servers: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Measured: the report of the same job without servers.")
    ] = None,
    clients: Annotated[
        str, typer.Option(metavar="LIST", help="Numbers of clients to show, as 1,2,4 or 1-8; default: to saturation.")
    ] = "",
    spread: Annotated[float, typer.Option(min=0, max=3, help="Of the CPU time of events, in the simulation.")] = 0.2,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="In the simulation each client stays with one server.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    png: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw it.")] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show Python's traceback of an error.")] = False,
) -> None:
    """Predict clients per server, speed-up and network need: by the scaling law, and by a simulation of queues."""
    from evproc.framework.cli.failures import reported

    given = {name: value for name, value in locals().items() if name in _INPUTS}
    with reported(traceback):
        from . import inputs as planning
        from .law import predict, saturation
        from .simulation import simulate

        found = planning.gathered(
            given,
            file,
            planning.read_reports(report),
            planning.read_reports([without_servers])[0] if without_servers is not None else None,
        )
        numbers = chosen_clients(clients, saturation(found))
        prediction = predict(found, numbers)
        simulated = [simulate(found, number, spread=spread, seed=seed, balanced=not fixed) for number in numbers]
        if png is not None:
            from .plan_plot import draw

            draw(found, prediction, simulated, png)
        if as_json:
            typer.echo(json.dumps(as_data(found, prediction, simulated), indent=2))
            return
        from evproc.framework.cli.summary import write

        write(shown(found, prediction, simulated))


_INPUTS = {
    "t_cpu",
    "p",
    "t_rest",
    "t_gpu",
    "latency",
    "requests",
    "bandwidth",
    "data",
    "server_bandwidth",
    "servers",
    "streams",
    "together",
}


def chosen_clients(text: str, saturated: float) -> list[int]:
    """The numbers of clients that are shown: those asked for, or some up to twice saturation. Raises ConfigurationError."""
    from evproc.framework.errors import ConfigurationError, Fault

    from .units import numbers

    if not text:
        return sorted({max(1, round(part * saturated)) for part in (0, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.5, 2)})
    try:
        found = numbers(text)
    except ValueError as error:
        raise ConfigurationError([Fault(str(error), where="--clients")]) from None
    if found[0] < 1:
        raise ConfigurationError([Fault("there must be one client at least", where="--clients")])
    return found


def as_data(inputs: PlanInputs, prediction: Prediction, simulated: Sequence[Simulated]) -> dict[str, Any]:
    """All of it, as plain data: times in seconds, rates in bit/s."""
    from dataclasses import asdict

    from .inputs import to_json

    return {
        "inputs": to_json(inputs),
        "law": prediction.to_dict(),
        "simulation": [asdict(each) for each in simulated],
    }


def shown(inputs: PlanInputs, prediction: Prediction, simulated: Sequence[Simulated]) -> Iterator[RenderableType]:
    """Lines and a table for the terminal."""
    from rich.text import Text

    from evproc.framework.cli.summary import table

    from .units import bit_rate, nbytes, seconds

    parts = [f"{seconds(inputs.t_client)} on the client", f"{seconds(inputs.t_gpu)} on a server"]
    parts += [f"{seconds(inputs.t_travel)} of latency"] if inputs.t_travel else []
    parts += [f"{seconds(inputs.t_transmit)} of data"] if inputs.t_transmit else []
    yield Text.assemble(("An event takes ", "bold"), f"{' + '.join(parts)} = {seconds(inputs.t_ideal)}")
    if inputs.streams > 1:
        yield Text(
            f"With {inputs.streams} blocks in flight a client has one event every {seconds(prediction.t_alone)}."
        )
    shared = "the network of the servers" if prediction.limited_by != "servers" else "one server"
    alone = prediction.saturation if prediction.limited_by != "servers" else prediction.clients_per_server
    yield Text.assemble(
        (f"{alone:.1f} clients saturate {shared}", "bold green"),
        f"; all together {prediction.saturation:.1f}, with {prediction.capacity:.4g} events/s",
    )
    if prediction.speed_up is not None:
        yield Text(f"Below that an event is done {prediction.speed_up:.2f} times faster than without servers.")
    if inputs.data:
        yield Text(
            f"An event moves {nbytes(inputs.data)}: a client needs {bit_rate(prediction.client_network)}, "
            f"all at saturation {bit_rate(prediction.server_network)}."
        )
    yield Text()
    speed = [">speed-up"] if inputs.t_cpu is not None else []
    network = [">network"] if inputs.data else []
    head = [">clients", ">event, law", ">simulated", ">events/s, law", ">simulated", *speed, ">server busy", *network]
    rows = table(*head, ">inference", ">99 %")
    for law, seen in zip(prediction.points, simulated, strict=True):
        cells = [str(law.clients), seconds(law.event_s), seconds(seen.event_s)]
        cells += [f"{law.throughput:.4g}", f"{seen.throughput:.4g}"]
        cells += [f"{law.speed_up:.2f}"] if law.speed_up is not None else []
        cells += [f"{law.use:.0%}"]
        cells += [bit_rate(law.network)] if inputs.data else []
        rows.add_row(*cells, seconds(seen.inference_s), seconds(seen.inference_p99_s))
    yield rows
