"""A job: check everything, begin, run, end, report."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from evproc import __version__

from .beside import ProgressCallback, calm_collector, peak_memory_mb, sources_in_job, ticking
from .binding import Binding
from .block_limit import block_limit
from .boundaries import Boundaries, boundaries_of, boundary_faults
from .careful import CarefulProgress
from .checksums import checksums
from .compiled import compile_modules
from .configured import Configured
from .dumping import results_hash
from .early_end import OutputQuota, after
from .engine import Engine, Waiting
from .errors import ConfigurationError, Fault
from .failures import Failures, failures_of
from .flow import Flow, failed_check, kind_of, resolve
from .input_report import InputReport
from .interrupts import Interrupts, interruptible, run_anywhere
from .life import end_modules, end_services, failure_of
from .limits import limit_line
from .module import ExternalWork, Module, OutputModule
from .observed import observed
from .observing import Observers
from .path_names import PASSED
from .process import Process
from .provenance import record
from .reader import Reader
from .replay import event_list
from .report import ModuleReport, Progress, Report
from .schedule import Schedule, compile_schedule
from .service import Job
from .state import Budget, RunState
from .switch import chosen_cases
from .tolerant import TolerantBinding
from .written_files import written_twice

MEGABYTE = 1_000_000


@dataclass(slots=True)
class Plan:
    """A process that was found sound: its data flow and its schedule."""

    flow: Flow
    schedule: Schedule


def run(process: Process, progress: ProgressCallback | None = None) -> Report:
    """Run a process to the end. Raises an EvprocError if the job fails; the outputs then do not exist.

    Ctrl-C ends the job cleanly: the events in flight are finished, the outputs are complete for the events done, and
    `report.interrupted` is true. A second Ctrl-C breaks it off.
    """
    careful = CarefulProgress(progress) if progress else None
    with sources_in_job(process):
        report = run_anywhere(lambda interrupts: _run(process, careful and interrupts.relayed(careful), interrupts))
    if careful and careful.warning:
        report.warnings.append(careful.warning)
    return report


def check(process: Process) -> tuple[list[Fault], list[str]]:
    """All faults of a process, and warnings. Opens the source's files and the services; runs nothing."""

    async def look(_: Interrupts) -> tuple[list[Fault], list[str]]:
        failed: list[Exception] = []
        try:
            plan, faults = await _prepare(process)
        finally:
            failed.extend(await end_services(process))
        return faults, [*plan.schedule.warnings, *_warnings(process), *map(str, failed)]

    return run_anywhere(look)


def _warnings(process: Process) -> list[str]:
    """What modules and services want the user to know."""
    parts: list[Configured] = [*process.modules.values(), *process.services.values()]
    return [text for part in parts for text in part.warnings]


async def _prepare(process: Process) -> tuple[Plan, list[Fault]]:
    """Resolve and compile; collect the faults of all parts."""
    flow = resolve(process)
    schedule = compile_schedule(process, flow)
    faults = [*process._faults, *flow.faults, *schedule.faults]
    faults += boundary_faults(process, flow)
    try:
        event_list(process)
    except ConfigurationError as error:
        faults.extend(error.faults)
    for module in process.modules.values():
        if not module.faults():
            try:
                found = module.check()
            except Exception as error:
                found = [failed_check(module, error)]
            faults.extend(_labelled(fault, module.label, module.where) for fault in found)
    for service in process.services.values():
        if not service.faults():
            sound = {label: module for label, module in process.modules.items() if not module.faults()}
            running = {label: module for label, module in sound.items() if faults or label in schedule.labels}
            try:
                found = await service.check(running)
            except Exception as error:
                found = [failed_check(service, error)]
            faults.extend(_labelled(fault, service.label, service.where) for fault in found)
    faults.extend(written_twice(process, schedule.labels))
    faults.extend(compile_modules(_compiled(process, schedule), flow, begun=False))
    return Plan(flow, schedule), list(dict.fromkeys(faults))


def _compiled(process: Process, schedule: Schedule) -> dict[str, Module]:
    """The modules that run and ask to be compiled."""
    modules = process.modules.items()
    return {label: part for label, part in modules if part.compiled and label in schedule.labels and not part.faults()}


def _labelled(fault: Fault, label: str, where: str) -> Fault:
    return Fault(fault.message, fault.label or label, fault.key, fault.where or where)


async def _run(process: Process, progress: ProgressCallback | None, interrupts: Interrupts) -> Report:
    report = Report(process.name)
    try:
        plan, faults = await _prepare(process)
        if faults:
            raise ConfigurationError(faults)
        report.warnings = list(plan.schedule.warnings)
        options = process.options
        with ThreadPoolExecutor(options.threads, thread_name_prefix="evproc") as pool:
            provenance = {"process": process.name, "evproc": __version__, "configuration": results_hash(process)}
            provenance |= chosen_cases(process)
            observers = Observers(process.services.values())
            job = Job(process.name, process.services, pool, int(options.in_flight * MEGABYTE), provenance, observers)
            files = await asyncio.to_thread(checksums, process, plan.schedule.labels)
            job.record = partial(record, process, provenance, files, report)
            with process._running():
                await _run_job(process, plan, job, report, progress, interrupts)
    except BaseException:
        await end_services(process)
        raise
    failures = await end_services(process)
    if failures:
        raise failures[0]
    for label, service in process.services.items():
        report.services[label] = service.report()
    report.warnings.extend(_warnings(process))
    report.peak_memory_mb = peak_memory_mb()
    report.limit = limit_line(report)
    return report


async def _run_job(
    process: Process,
    plan: Plan,
    job: Job,
    report: Report,
    progress: ProgressCallback | None,
    interrupts: Interrupts,
) -> None:
    """Begin the parts, run, end them, and give the outputs their names; or leave nothing of them."""
    options, schedule = process.options, plan.schedule
    source = process.source_module
    assert source is not None
    running: list[Module] = [source, *dict.fromkeys(step.module for step in schedule.steps)]
    for service in process.services.values():
        try:
            await service.begin_job(job)
        except Exception as error:
            raise failure_of(service, "begin_job", error) from error
    begun: list[Module] = []
    boundaries: Boundaries | None = None
    try:
        for module in running:
            begun.append(module)
            module._seed = options.seed
            if isinstance(module, ExternalWork):
                module._use_threads(job.pool)
            try:
                module.begin_job(job)
            except Exception as error:
                raise failure_of(module, "begin_job", error) from error
        late = compile_modules(_compiled(process, schedule), plan.flow, begun=True)
        if late:
            raise ConfigurationError(late)
        report.modules = [ModuleReport(module.label, type(module).__name__, kind_of(module)) for module in running]
        tallies = {tally.label: tally for tally in report.modules}
        only = event_list(process)
        failures = failures_of(process, job.provenance)
        bindings = _bind(process, plan, tallies, failures)
        streams = options.streams if isinstance(options.streams, int) else options.MAX_STREAMS
        state = RunState(streams, Budget(job.in_flight_bytes))
        boundaries = boundaries_of(schedule, running[1:], list(process.services.values()), job.pool)
        new_engine, new_reader = observed(job.observers) if job.observers else (Engine, Reader)
        engine = new_engine(schedule, bindings, state, process.services, job.pool, boundaries, failures)
        reader = new_reader(
            source,
            plan.flow.source_keys(schedule.labels) | (boundaries.keys if boundaries else frozenset()),
            memory=Budget(int(options.memory * MEGABYTE)),
            limit=block_limit(schedule, bindings, options.block),
            changed=engine.changed,
            boundaries=boundaries,
            only=only,
        )
        limited = {module.label: module.config.max_events for module in running if isinstance(module, OutputModule)}
        if any(limit > 0 for limit in limited.values()):
            engine.quota = OutputQuota({label: limit for label, limit in limited.items() if limit > 0})
        begin = perf_counter()
        total = plan.flow.offered.events if only is None else len(only)
        if failures is not None and only is not None:
            failures.runs_again(only, engine)

        def stop() -> bool:
            before, report.interrupted = report.interrupted, True
            engine.stop()
            return before

        def time_up() -> None:
            if not reader.exhausted:
                report.ended = f"max_seconds: {options.max_seconds:g} s are over"
                engine.stop()

        with (
            interruptible(interrupts, stop),
            after(options.max_seconds, time_up),
            ticking(engine, progress, options.progress, total),
            calm_collector(),
            failures or nullcontext(),
        ):
            await engine.run(reader)
            if boundaries:
                boundaries.finish(failed=False)
        report.wall_s = perf_counter() - begin
        _fill(report, engine, tallies[source.label])
        tallies[source.label].cpu_s = reader.seconds
        done = engine.events_done
        yielded = only.yielded(done) if only else done
        report.input = source.input_report(yielded, early=bool(report.ended)) or InputReport(source.label, done)
        if only is not None:
            only.correct(report.input, done)
            report.warnings += only.warnings(process, whole=not report.ended)
        if failures is not None:
            failures.fill(report)
    except BaseException:
        # what external work has left in threads may still use the modules
        await asyncio.to_thread(job.pool.shutdown, wait=True, cancel_futures=True)
        if boundaries:
            boundaries.finish(failed=True)
        end_modules(begun, failed=True)
        raise
    end_modules(begun, failed=False)
    report.outputs = [written for module in running if isinstance(module, OutputModule) if (written := module.report())]
    if progress:
        rate = report.events / report.wall_s if report.wall_s > 0 else 0.0
        progress(Progress(report.events, report.events, report.wall_s, rate, 0, {}, done=True))


def _bind(process: Process, plan: Plan, tallies: dict[str, ModuleReport], failures: Failures | None) -> list[Binding]:
    paths: dict[str, list[str]] = {}
    for path in plan.schedule.placed.values():
        for member in path.members:
            paths.setdefault(member.label, []).append(path.label)
    bindings = []
    for step in plan.schedule.steps:
        label = step.node.label
        arguments = (step, plan.flow, tallies[step.module.label], paths.get(label, []))
        bindings.append(Binding(*arguments) if failures is None else TolerantBinding(*arguments, failures))
        if bindings[-1].kind == "filter" and tallies[label].passed is None:
            tallies[label].passed = 0
    return bindings


def _fill(report: Report, engine: Engine, source: ModuleReport) -> None:
    report.events = engine.events_done
    if engine.filled and engine.quota is not None:
        report.ended = f"max_events: {', '.join(engine.quota.left)} has all the events that it was to have"
    elif report.interrupted:
        report.ended = "interrupted"
    report.blocks = engine.blocks_done
    report.waiting_external_s = engine.waited[Waiting.EXTERNAL]
    report.waiting_input_s = engine.waited[Waiting.INPUT]
    report.moving_s = engine.gave_way
    report.busy_s = report.wall_s - report.waiting_external_s - report.waiting_input_s
    report.paths = engine.paths.reports()
    source.calls = engine.events_done
    for tally in report.modules:
        tally.calls = engine.events_done if tally.label == PASSED else tally.calls
        tally.external_wait_s /= max(1, tally.calls)
