"""FACILE behind the protocol of FaaST: an FPGA service without FPGA, bit for bit.

    python -m evproc.producers.facile.faast_server --port 5001

answers at `trtis://127.0.0.1:5001` until Ctrl-C or SIGTERM. The design is compiled first if it is not there (see
fpga_library.py); rows are words as `fpga_words.feature_words` makes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from evproc.framework.errors import ServerUnavailable

MODEL = "facile"
"""The name that FaaST gives it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.facile.faast_server`."""
    from evproc.sonic_client.faast_service import REQUEST_ROWS, FaastService, WordModel
    from evproc.sonic_client.serving import serve

    from .fpga_library import FpgaLibrary, compiled

    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.facile.faast_server", description="Serve FACILE as FaaST does, on 127.0.0.1."
    )
    parser.add_argument("--port", type=int, default=0, help="the port; 0, the default, is a free one")
    parser.add_argument("--model", default=MODEL, help="name of the model (default: %(default)s)")
    parser.add_argument("--units", type=int, default=1, help="compute units, a thread each (default: %(default)s)")
    parser.add_argument(
        "--max-rows", type=int, default=REQUEST_ROWS, help="channels of a request, at most (default: %(default)s)"
    )
    chosen = parser.parse_args(arguments)
    try:
        library = FpgaLibrary(compiled())
    except ServerUnavailable as error:
        raise SystemExit(str(error)) from error
    models = {chosen.model: WordModel(library, max_batch_size=chosen.max_rows)}
    serve(lambda: FaastService(models, chosen.units), "trtis", chosen.port)


if __name__ == "__main__":
    main()
