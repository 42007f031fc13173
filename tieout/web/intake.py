"""The webhook door: bounded, verified, and acknowledged only after a durable commit.

HTTP only; what a webhook means is decided in `engine/collect` and the system's connector. Refusals
are RFC 9457 problem details that tell an attacker nothing; the reason goes to our own log.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from tieout.engine.collect import receive
from tieout.engine.context import Context
from tieout.ports.connector import InboundCall, NotGenuine, Receives
from tieout.ports.secrets import SecretMissing

MOST_BYTES = 1024 * 1024
BODY_SECONDS = 10.0
RETRY_AFTER_SECONDS = 10

log = logging.getLogger("tieout.web.intake")


def router(context: Context) -> APIRouter:
    """POST /intake/{system}/{stream} for every system of the landscape that receives webhooks."""
    routes = APIRouter()

    @routes.post("/intake/{system}/{stream}")
    async def intake(request: Request, system: str, stream: str) -> Response:
        if not receives(context, system, stream):
            return problem(
                404,
                "Nothing is received here",
                "Check the address: /intake/{system}/{stream}, as the landscape names them.",
            )
        try:
            body = await asyncio.wait_for(_body(request), BODY_SECONDS)
        except TimeoutError:
            return problem(408, "The body did not arrive in time", "Send it again.")
        if body is None:
            return problem(413, "The body is too large", f"Send at most {MOST_BYTES} bytes a call.")
        return await run_in_threadpool(_take, context, system, stream, request.headers, body)

    return routes


def receives(context: Context, system: str, stream: str) -> bool:
    """Whether this stream of this system takes webhooks."""
    if system not in context.landscape.systems:
        return False
    connector = context.connector(system)
    known = connector.streams.get(stream)
    return isinstance(connector, Receives) and known is not None and known.receives


def _take(
    context: Context, system: str, stream: str, headers: Mapping[str, str], body: bytes
) -> Response:
    """Verify and commit; the vendor's own acknowledgement only when both are done."""
    try:
        received = receive(context, system, InboundCall(stream, dict(headers), body))
    except NotGenuine as error:
        log.warning("a webhook to %s/%s was refused: %r", system, stream, str(error))
        answer = problem(
            401, "The webhook could not be verified", "Check the sender and what it signs with."
        )
        answer.headers["WWW-Authenticate"] = 'Webhook realm="tieout"'
        return answer
    except SecretMissing as error:
        log.error("webhooks to %s cannot be verified: %s", system, error)
        return _later("This system is not ready to receive")
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        log.error("a webhook to %s/%s could not be stored: %s", system, stream, error)
        return _later("The database does not answer; nothing was taken")
    return Response(received.answer, 200, media_type=received.answer_type)


async def _body(request: Request) -> bytes | None:
    """The whole body; None when it is longer than allowed, whatever its header claims."""
    claimed = request.headers.get("content-length", "")
    if claimed.isdigit() and int(claimed) > MOST_BYTES:
        return None
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def problem(status: int, title: str, detail: str) -> Response:
    """An RFC 9457 problem: what went wrong and what to do, nothing about why in detail."""
    said = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(json.dumps(said), status, media_type="application/problem+json")


def _later(title: str) -> Response:
    answer = problem(503, title, "Send it again later; it was not acknowledged.")
    answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer
