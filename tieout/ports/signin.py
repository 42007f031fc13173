"""How a session proves who it is. One small class per scheme; a connector names the one it needs.

A sign-in may call the system's token endpoint through the session's own transport. The session
calls `renew` once when an answer is 401, and sends the same request once more: a 401 says
explicitly that nothing was applied.
"""

from __future__ import annotations

from typing import Protocol

from tieout.ports.http import Request, Transport


class SignInFailed(Exception):
    """The system refused our credentials. Says what was refused and what to check."""

    def __init__(self, words: str, next_action: str) -> None:
        super().__init__(words)
        self.words = words
        self.next_action = next_action


class SignIn(Protocol):
    def apply(self, request: Request, transport: Transport) -> Request:
        """The request with credentials on it; fetches a token first when there is none.
        Raises SignInFailed, or NoAnswer when the token endpoint did not answer."""

    def renew(self, transport: Transport) -> bool:
        """Forget what was refused. True when a second try with a fresh token makes sense."""


class NoSignIn:
    """A system that asks for nothing (a folder, a test double)."""

    def apply(self, request: Request, transport: Transport) -> Request:
        return request

    def renew(self, transport: Transport) -> bool:
        return False
