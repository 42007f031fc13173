"""A console over a real database with a history in it, served on loopback by the real server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from tests.web import story
from tieout import clock
from tieout.engine.context import Context
from tieout.engine.opening import open_context
from tieout.web.app import create_app
from tieout.web.server import configured

LANDSCAPE = Path(__file__).resolve().parents[2] / "examples" / "quote_to_cash"


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The app on a free port of this machine; gives its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(configured(app, 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            for _ in range(500):
                if server.started:
                    break
                time.sleep(0.01)
            assert server.started, "the web server did not start within 5 seconds"
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=20)


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    """An open landscape over an empty database."""
    with open_context(LANDSCAPE, "demo", database_url, actor="console") as opened:
        yield opened


@pytest.fixture
def told(context: Context) -> Iterator[Context]:
    """The same with the history in it, four minutes after its end."""
    end = story.tell(context.database)
    with clock.world(story.SetClock(end)):
        yield context


@pytest.fixture
def client(told: Context) -> Iterator[httpx.Client]:
    """Asks the console over real HTTP."""
    with served(create_app(told)) as address, httpx.Client(base_url=address) as asking:
        yield asking
