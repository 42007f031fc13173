"""One engine process for the crash tests: it works until nothing moves, or kills itself.

`python -m tests.real_systems.nats_worker LANDSCAPE DATABASE_URL [read|write]`: with the last word
it dies by SIGKILL when that call to the server has come back, before any of it is committed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.connectors.test_nats_flow import work
from tieout.connectors.nats import publishing, reading

CALLS: dict[str, Any] = {"read": reading, "write": publishing}


def main(landscape: str, database_url: str, dies_after: str = "") -> None:
    if dies_after:
        module = CALLS[dies_after]
        call = getattr(module, dies_after)

        def last(*given: Any) -> None:
            call(*given)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(module, dies_after, last)
    print(work(Path(landscape), database_url))


if __name__ == "__main__":
    main(*sys.argv[1:])
