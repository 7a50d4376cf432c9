"""Where the events of an output file come from: everything that is needed to say so, and to make the file again.

Part of it is known before the first event (the process, the configuration, versions of packages), part only when the last
has been processed (input files with their entries, which servers answered). So output modules are given a function, and call
it when they complete their file. The record holds no times, names of users or of machines: the same job makes the same file.

The form is plain data (JSON types); `FORM` is its version:

    process, configuration (SHA-256 of all that can change results), evproc, python, packages: name -> version
    expanded                  the configuration, from which `evproc run` makes the same job; or why it cannot be written
    input                     files: [{file, entries, events}], left_out, lost; the files of friends
    files                     label -> [{file, sha256}]: what else was read, as corrections and masks
    events, failed_events, ended
    failures                  [{module, error, action, events}]: how often a module has failed in one way and the job went on
    services                  label -> what the service says of itself: models, versions, checksums, servers that answered
"""

from __future__ import annotations

import dataclasses
import platform
import re
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .dumping import dump
from .errors import ConfigurationError
from .plugins import discover

if TYPE_CHECKING:
    from .process import Process
    from .report import Report

FORM = 1


def record(process: Process, header: Mapping[str, str], files: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The record of a job that has processed its last event; of `header`, and the checksums of `files`, before the first."""
    source = report.input
    made: dict[str, Any] = {"form": FORM, **header, "python": platform.python_version(), "packages": packages(process)}
    try:
        made["expanded"] = dump(process, full=False)
    except ConfigurationError as error:
        made["not_expanded"] = "; ".join(fault.message for fault in error.faults)
    made["input"] = {
        "files": [dataclasses.asdict(file) for file in source.files],
        "left_out": dict(source.left_out),
        "lost": [dataclasses.asdict(entries) for entries in source.lost],
    }
    if source.friends:
        made["input"]["friends"] = list(source.friends)
    made["files"] = dict(files)
    made |= {"events": source.events, "failed_events": report.failed_events}
    kept = ("module", "error", "action", "events")
    made["failures"] = [{key: getattr(failure, key) for key in kept} for failure in report.failures]
    made["ended"] = report.ended or ("interrupted" if report.interrupted else "")
    said = {label: service.provenance() for label, service in process.services.items()}
    made["services"] = {label: text for label, text in said.items() if text}
    return made


@cache
def _own_packages() -> Mapping[str, str]:
    """What evproc itself needs: name -> version. Kept: the files are slow to read."""
    names = set()
    try:
        required = metadata.requires("evproc") or []
    except metadata.PackageNotFoundError:
        required = []
    for requirement in required:
        found = re.match(r"[\w.-]+", requirement)
        if found and "extra ==" not in requirement:
            names.add(found.group())
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def packages(process: Process) -> dict[str, str]:
    """The packages that the results depend on: what evproc itself needs, and those of the plug-ins in use; name -> version."""
    versions = dict(_own_packages())
    registry = discover()
    for part in (*process.modules.values(), *process.services.values()):
        name = registry.name_of(type(part)) or ""
        for plugin in registry.plugins.get(name, []):
            if plugin.package != "evproc":
                versions[plugin.package] = plugin.version
    return versions
