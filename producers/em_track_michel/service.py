"""A service that makes the weights before the first event, if its own server is to serve them and they are not there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from evproc.framework import Fault, Module, Parameter
from evproc.sonic_client import InferenceService

from .network import MODEL
from .set_up import can_train, model_file


class EmTrackMichelService(InferenceService):
    """An inference service that makes the weights of EmTrackMichelId if no server is named and its fallback has none."""

    class Config(InferenceService.Config):
        """Servers and limits, and how weights are made."""

        untrained: bool = Parameter(False, description="make seeded initial weights, also where training is possible")

    config: Config

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Make the weights if they are needed and absent, in a process of their own; then as every inference service."""
        fallback = self.config.fallback
        if fallback is not None and not self.config.servers and not self.config.servers_file:
            repository = Path(fallback.models)
            described = (repository / MODEL / "config.pbtxt").is_file()
            if described and not model_file(repository).exists():
                return await self._make(repository) or await super().check(modules)
        return await super().check(modules)

    async def _make(self, repository: Path) -> list[Fault]:
        """Run the set-up step."""
        if self.config.untrained or not can_train():
            how = "seeded initial weights, untrained" + ("" if self.config.untrained else ": torch is not installed")
        else:
            how = "training it, which takes minutes"
        print(f"model '{MODEL}' has no weights yet; making {model_file(repository)}: {how}", flush=True)  # noqa: T201
        command = ["-m", "evproc.producers.em_track_michel.set_up", "--models", str(repository)]
        command += ["--untrained"] if self.config.untrained else []
        maker = await asyncio.create_subprocess_exec(sys.executable, *command)
        try:
            code = await maker.wait()
        except asyncio.CancelledError:
            maker.terminate()
            await maker.wait()
            raise
        if code:
            why = f"the set-up step failed with exit code {code}: python {' '.join(command)}"
            return [Fault(why, self.label, "fallback", self.where)]
        return []
