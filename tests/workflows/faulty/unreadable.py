"""Reads a branch of C++ objects that uproot cannot take apart."""

from __future__ import annotations

from evproc.framework import Path, Process
from evproc.modules import CountFilter, NtupleSource

process = Process("UNREADABLE")
process.source = NtupleSource(files="pfnano.root", tree="MetaData")
process.history = CountFilter(of="ProcessHistory", at_least=1)
process.path = Path(process.history)
