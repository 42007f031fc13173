"""The webhook door: bounded, verified, and acknowledged only after a durable commit.

HTTP only; what a webhook means is decided in `engine/collect` and the system's connector, and how
it is stored in `web/group_commit`. Refusals are RFC 9457 problem details that tell an attacker
nothing; the reason goes to our own log.
"""

from __future__ import annotations

import asyncio
import json
import logging

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from tieout.engine.collect import Taken, understand
from tieout.engine.context import Context
from tieout.engine.telemetry import INTAKE, TALLY
from tieout.ports.connector import InboundCall, NotGenuine, Receives, Stream, Unreadable
from tieout.ports.secrets import SecretMissing
from tieout.web.group_commit import Full, GroupCommit, NotKept

MOST_BYTES = 1024 * 1024
MOST_BYTES_AT_ONCE = 64 * 1024 * 1024  # of all bodies that are being received
MOST_AT_ONCE = 500
AT_ONCE_ON_THE_LOOP_BYTES = 16 * 1024  # a longer body is verified on a thread beside
BODY_SECONDS = 10.0
RETRY_AFTER_SECONDS = 10
RETRY_AFTER_FULL_SECONDS = 1

# What webhooks came to, by the status of their answer, as /metrics counts them.
ANSWERS = {
    200: "accepted",
    401: "not_genuine",
    400: "unreadable",
    404: "unknown_address",
    408: "too_slow",
    413: "too_large",
    415: "wrong_type",
    429: "full",
    503: "not_kept",
}
log = logging.getLogger("tieout.web.intake")


class TooLarge(Exception):
    """The body is longer than one webhook may be."""


class Door:
    """What all webhooks of this process share: how many and how much is inside at once."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.commits = GroupCommit(context)
        self._inside = 0
        self._bytes = 0

    async def enter(self, request: Request, system: str, stream: str) -> Response:
        """One webhook, from its first byte to its answer, which is counted."""
        if self._inside >= MOST_AT_ONCE:
            answer = _full()
        else:
            self._inside += 1
            try:
                answer = await self._receive(request, system, stream)
            finally:
                self._inside -= 1
        if received_stream(self.context, system, stream) is None:
            system = stream = ""  # names that a stranger made up are no labels
        TALLY.outcomes(system, INTAKE, [(stream, ANSWERS.get(answer.status_code, "refused"))])
        return answer

    async def _receive(self, request: Request, system: str, stream: str) -> Response:
        known = received_stream(self.context, system, stream)
        if known is None:
            return problem(
                404,
                "Nothing is received here",
                "Check the address: /intake/{system}/{stream}, as the landscape names them.",
            )
        if not _is_of_a_known_type(request, known):
            return problem(
                415,
                "This is not the kind of content that is received here",
                f"Send one of these content types: {', '.join(known.webhook_types)}.",
            )
        parts: list[bytes] = []
        try:
            await asyncio.wait_for(self._body(request, parts), BODY_SECONDS)
            return await self._take(request, system, stream, b"".join(parts))
        except TimeoutError:
            return _last(problem(408, "The body did not arrive in time", "Send it again."))
        except TooLarge:
            return _last(
                problem(413, "The body is too large", f"Send at most {MOST_BYTES} bytes a call.")
            )
        except Full:
            return _full()
        except ClientDisconnect:
            return problem(400, "The body is not complete", "Send it again.")
        finally:
            self._bytes -= sum(map(len, parts))

    async def _body(self, request: Request, parts: list[bytes]) -> None:
        """Gather the body; raises TooLarge as soon as it is, whatever its header claims, and Full
        when all bodies together would take too much memory."""
        claimed = request.headers.get("content-length", "")
        if claimed.isdigit() and int(claimed) > MOST_BYTES:
            raise TooLarge
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                raise TooLarge
            if self._bytes + len(part) > MOST_BYTES_AT_ONCE:
                raise Full
            self._bytes += len(part)
            parts.append(part)

    async def _take(self, request: Request, system: str, stream: str, body: bytes) -> Response:
        """Verify and commit; the vendor's own acknowledgement only when both are done."""
        call = InboundCall(stream, request.headers, body)
        try:
            taken = (
                understand(self.context, system, call)
                if len(body) <= AT_ONCE_ON_THE_LOOP_BYTES
                else await run_in_threadpool(understand, self.context, system, call)
            )
            await asyncio.wrap_future(self.commits.offer(taken))
        except NotGenuine as error:
            log.warning("a webhook to %s/%s was refused: %r", system, stream, str(error))
            answer = problem(
                401, "The webhook could not be verified", "Check the sender and what it signs with."
            )
            answer.headers["WWW-Authenticate"] = 'Webhook realm="tieout"'
            return answer
        except Unreadable as error:
            log.warning("a webhook to %s/%s cannot be read: %s", system, stream, error)
            return problem(400, "The webhook cannot be read", str(error))
        except SecretMissing as error:
            log.error("webhooks to %s cannot be verified: %s", system, error)
            return _later("This system is not ready to receive")
        except NotKept as error:
            log.error("a webhook to %s/%s could not be stored: %s", system, stream, error)
            return _later("The database does not answer; nothing was taken")
        return _answer(taken)


def router(door: Door) -> APIRouter:
    """POST /intake/{system}/{stream} for every system of the landscape that receives webhooks."""
    routes = APIRouter()

    async def intake(request: Request) -> Response:
        return await door.enter(
            request, request.path_params["system"], request.path_params["stream"]
        )

    # A plain route: what FastAPI would look for in a request, a webhook does not have.
    routes.add_route("/intake/{system}/{stream}", intake, methods=["POST"])
    return routes


def received_stream(context: Context, system: str, stream: str) -> Stream | None:
    """The stream of this name, if this system takes webhooks of it."""
    if system not in context.landscape.systems:
        return None
    connector = context.connector(system)
    known = connector.streams.get(stream)
    return known if isinstance(connector, Receives) and known and known.receives else None


def _is_of_a_known_type(request: Request, stream: Stream) -> bool:
    """Whether the content is of a type that the stream takes; one that is not told is looked at."""
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return not said or not stream.webhook_types or said in stream.webhook_types


def _answer(taken: Taken) -> Response:
    return Response(taken.received.answer, 200, media_type=taken.received.answer_type)


def problem(status: int, title: str, detail: str) -> Response:
    """An RFC 9457 problem: what went wrong and what to do, nothing about why in detail."""
    said = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(json.dumps(said), status, media_type="application/problem+json")


def _last(answer: Response) -> Response:
    """The body was not read to its end, so that nothing more can come over this connection."""
    answer.headers["Connection"] = "close"
    return answer


def _later(title: str) -> Response:
    answer = problem(503, title, "Send it again later; it was not acknowledged.")
    answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def _full() -> Response:
    answer = _last(
        problem(429, "Too many webhooks at once", "Send it again; it was not acknowledged.")
    )
    answer.headers["Retry-After"] = str(RETRY_AFTER_FULL_SECONDS)
    return answer
