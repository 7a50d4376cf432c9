"""evproc: event processing for high-energy physics, with inference on remote servers."""

__version__ = "0.1.0"
