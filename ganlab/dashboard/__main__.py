"""`python -m ganlab.dashboard RUN_OR_FOLDER...`: a local web page that compares runs."""

import logging
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ganlab.cli import run
from ganlab.cli.options import parse_runs
from ganlab.dashboard.server import Dashboard, keep_fresh
from ganlab.errors import ConfigurationError
from ganlab.runs.reading.library import Library

USAGE = """usage: python -m ganlab.dashboard RUN_OR_FOLDER... [option=value ...]

  port=8642   of 127.0.0.1; by default the first free one from 8642 on; port=0 takes any
  open=false  open the page in the browser

Serves this machine only; from another one, forward the port: ssh -L 8642:127.0.0.1:8642 HOST. Ctrl-C ends it."""

FIRST_PORT, TRIES = 8642, 20


@dataclass
class DashboardOptions:
    """What can be typed besides run folders."""

    port: int | None = None
    open: bool = False


def listen(port: int | None) -> socket.socket:
    """Returns a socket that listens on the loopback address.

    Args:
        port: 0 for any; `None` for the first free one from `FIRST_PORT` on.

    Raises:
        ConfigurationError: if none is free.
    """
    candidates = range(FIRST_PORT, FIRST_PORT + TRIES) if port is None else [port]
    for candidate in candidates:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", candidate))
            listener.listen(128)
            return listener
        except (OSError, OverflowError) as error:
            listener.close()
            reason = (error.strerror if isinstance(error, OSError) else None) or error
    raise ConfigurationError(
        f"port={candidates[0]}: cannot be used ({reason}); give another, or port=0 for any"
    )


def serve(paths: Sequence[str], options: DashboardOptions) -> None:
    """Serves the page until it is interrupted.

    Raises:
        ConfigurationError: if the port is taken.
        DataError: if a path is no folder.
    """
    from waitress.server import create_server

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a page asks for many pictures at once

    library = Library(paths)
    library.refresh()
    dashboard = Dashboard(library)
    listener = listen(options.port)
    server: Any = create_server(dashboard, sockets=[listener], threads=4, ident=None)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    print(f"{len(library.runs())} runs at {url} (Ctrl-C ends it)", flush=True)
    if options.open:
        webbrowser.open(url)
    stop = threading.Event()
    keeper = threading.Thread(target=keep_fresh, args=(library, dashboard, stop), daemon=True)
    keeper.start()
    try:
        server.run()  # returns on Ctrl-C
    finally:
        stop.set()
        keeper.join(timeout=5)
        library.save()
        server.close()


def main() -> None:
    """Runs the command."""

    def command() -> None:
        paths, parsed = parse_runs(DashboardOptions, sys.argv[1:], USAGE)
        serve(paths, parsed)

    run(command)


if __name__ == "__main__":
    main()
