"""What the log of the embedded server says."""

from __future__ import annotations

import re


class ServerLog:
    """What the log of a server says."""

    def __init__(self, text: str) -> None:
        self.text = text

    def listening(self, port: int) -> bool:
        """Whether the server takes requests on this port."""
        return f'Started GRPCInferenceService at 127.0.0.1:{port}"' in self.text

    @property
    def port_taken(self) -> bool:
        """Whether the server ended because another process has its port."""
        return "Socket '127.0.0.1" in self.text and "already in use" in self.text

    def failures(self) -> str:
        """The reason for each model that could not be loaded, one to a line; empty if there is none."""
        found = re.findall(r"\"failed to load '([^']+)' version (\d+): (.*)\"", self.text)
        reasons = {name: reason.replace("\\n", "\n    ").strip() for name, _, reason in found}
        for name, reason in re.findall(r"\"failed to load model '([^']+)': (.*)\"", self.text):
            reasons.setdefault(name, reason)
        return "\n".join(f"  model '{name}': {reason}" for name, reason in reasons.items())

    def tail(self, lines: int = 15) -> str:
        """The last lines, indented."""
        shown = [line for line in self.text.splitlines() if line.strip()][-lines:]
        return "\n".join(f"  {line}" for line in shown) or "  (it is empty)"
