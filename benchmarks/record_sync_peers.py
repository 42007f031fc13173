"""What somebody would use instead, timed as whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tieout import clock

HERE = Path(__file__).resolve().parent
HOME = HERE / ".peers"
DLT = ("dlt[postgres]==1.31.0", "orjson", "psycopg2-binary")


def plain(data: Path, url: str, schema: str) -> float:
    """Seconds of the DuckDB-to-COPY load."""
    return _seconds(
        [sys.executable, "-m", "benchmarks.record_sync_reference", str(data), url, schema], {}
    )


def dlt(data: Path, url: str, work: Path) -> float:
    """Seconds of dlt doing the load alone. Installs it on first use."""
    python = _installed("dlt", DLT)
    return _seconds(
        [
            str(python),
            str(HERE / "peers" / "dlt_invoices.py"),
            str(data),
            _written_out(url),
            str(work / "dlt"),
        ],
        {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"},
    )


def _written_out(url: str) -> str:
    """The address as dlt wants it: with host and password, also where a socket needs neither."""
    told = conninfo_to_dict(url)
    socket = f"?host={told['host']}" if str(told["host"]).startswith("/") else ""
    place = "localhost" if socket else told["host"]
    who = f"{told['user']}:{told.get('password', 'none')}"
    return f"postgresql://{who}@{place}:{told['port']}/{told['dbname']}{socket}"


def _installed(name: str, packages: tuple[str, ...]) -> Path:
    """The Python of an environment of the peer's own."""
    home = HOME / name
    python = home / "bin" / "python"
    ready = home / ".ready"
    if not ready.exists():
        venv.create(home, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        ready.touch()
    return python


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    started = clock.monotonic()
    subprocess.run(
        command, check=True, env={**os.environ, **environment}, cwd=HERE.parent, capture_output=True
    )
    return clock.monotonic() - started
