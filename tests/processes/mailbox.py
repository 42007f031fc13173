"""A mail server on loopback that takes whatever comes, and knows when."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from aiosmtpd.controller import Controller

from tieout import clock
from tieout.emulators.host import free_port


class Mailbox:
    """Mails with the instants they came at (seconds, monotonic)."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[tuple[float, str]] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        text = envelope.content.decode()  # type: ignore[attr-defined]
        self.mails.append((clock.monotonic(), text))
        return "250 taken"

    def came(self, *words: str, since: float = 0.0) -> float | None:
        """When the first mail with all these words came; None: none did."""
        return next(
            (at for at, mail in self.mails if at >= since and all(word in mail for word in words)),
            None,
        )

    def has(self, *words: str) -> bool:
        return self.came(*words) is not None


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A running one."""
    box = Mailbox(free_port())
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
