"""The console's process: `python -m tieout.web.server --landscape DIR --environment demo`.

Listens on loopback only. The database's address comes in TIEOUT_DATABASE_URL, never on the command
line, where other users could read it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from tieout.engine.logs import BadLogLevel, start_logs
from tieout.engine.opening import UnknownEnvironment, open_context
from tieout.rules.place import BadLandscape
from tieout.store.database import DatabaseUnfit
from tieout.web.app import create_app
from tieout.web.patience import PatientProtocol

DEFAULT_PORT = 8181
MOST_CONNECTIONS = 8
MOST_HEAD_BYTES = 16 * 1024
STOP_SECONDS = 10


def configured(app: FastAPI, port: int) -> uvicorn.Config:
    """How the web process serves: on loopback, with a bound on everything a caller may hold."""
    return uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,  # what it says goes the way of all our logs
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=PatientProtocol,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        timeout_graceful_shutdown=STOP_SECONDS,
        ws="none",
    )


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean stop, 1 when it could not start."""
    parser = argparse.ArgumentParser(prog="python -m tieout.web.server", description=__doc__)
    parser.add_argument("--landscape", type=Path, required=True, help="the landscape's folder")
    parser.add_argument("--environment", required=True, help="which environment: demo, test …")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    asked = parser.parse_args(arguments)
    database_url = os.environ.get("TIEOUT_DATABASE_URL", "")
    if not database_url:
        print(
            "TIEOUT_DATABASE_URL is not set; start the console with `tieout up`, which sets it",
            file=sys.stderr,
        )
        return 1
    try:
        start_logs("web")
        with open_context(
            asked.landscape,
            asked.environment,
            database_url,
            actor="console",
            most_connections=MOST_CONNECTIONS,
        ) as context:
            server = uvicorn.Server(configured(create_app(context), asked.port))
            # uvicorn stops on these by itself, then raises them once more: by then all is done.
            for stop in (signal.SIGTERM, signal.SIGINT):
                signal.signal(stop, lambda *_: None)
            server.run()
            return 0 if server.started else 1
    except (BadLandscape, BadLogLevel, DatabaseUnfit, UnknownEnvironment) as error:
        print(f"the console cannot start: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
