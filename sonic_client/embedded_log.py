"""What the log of the embedded server says."""

from __future__ import annotations

import re


class ServerLog:
    """What the log of a server says."""

    def __init__(self, text: str) -> None:
        self.text = text

    def listening(self, port: int, http: int = 0) -> bool:
        """Whether the server takes requests on these ports."""
        return f'Started GRPCInferenceService at 127.0.0.1:{port}"' in self.text and (
            not http or f'Started HTTPService at 127.0.0.1:{http}"' in self.text
        )

    @property
    def port_taken(self) -> bool:
        """Whether the server ended because another process has its port."""
        return "Socket '127.0.0.1" in self.text and "already in use" in self.text

    def failures(self) -> str:
        """The reason for each model that could not be loaded, one to a line; empty if there is none."""
        reasons = {}
        for fault, name, reason in re.findall(_UNREADABLE, self.text):
            reasons[name] = f"{reason} ({fault})" if fault else reason
        for name, reason in re.findall(_UNLOADABLE, self.text):
            reasons[name] = reason.replace("\\n", "\n    ").strip()
        return "\n".join(f"  model '{name}': {reason}" for name, reason in reasons.items())

    def tail(self, lines: int = 15) -> str:
        """The last lines, indented, without the server's tables."""
        shown = [line for line in self.text.splitlines() if line.strip() and line[0] not in "|+"][-lines:]
        return "\n".join(f"  {line}" for line in shown) or "  (it is empty)"


_UNLOADABLE = r"\"failed to load '([^']+)' version \d+: (.*)\""
_UNREADABLE = (
    r"(?:Error parsing text-format inference.ModelConfig: (.*)\n.*|.*)"
    r"\"Poll failed for model directory '([^']+)': (.*)\""
)
