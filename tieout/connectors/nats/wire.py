"""The JetStream API over the line: stream state, pages of messages, last messages, publishing.

Everything that only NATS knows is here and in `line`. Source: the JetStream wire API (subjects
`$JS.API.…`, JSON requests and answers) and NATS ADR-4 (headers), ADR-8 and ADR-13 (pull).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError

from tieout.connectors.nats.errors import ERRORS, NO_MESSAGE, NO_RESPONDER
from tieout.connectors.nats.line import NatsLine
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session

T = TypeVar("T")
Answer = Mapping[str, object]
PULL = 50  # messages asked for at once: at most 50 times the server's max_payload in memory
KEEP_SECONDS = 30  # a consumer that we could not take away goes by itself
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message."""

    sequence: int
    subject: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kept:
    """The state of a JetStream stream. `made` is when it was created: sequences start at 1 again
    in a stream that was made anew."""

    made: str
    first: int
    last: int
    subjects: tuple[str, ...]
    retention: str
    most_age_seconds: float
    window_seconds: float


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to publish, and the sequence that must be the last one of its subject (0: none)."""

    subject: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    after: int = 0


class Refused(Exception):
    """The JetStream API answered with an error."""

    def __init__(self, status: int | None, code: str, words: str) -> None:
        super().__init__(words)
        self.status, self.code, self.words = status, code, words

    def fault(self) -> VendorFault:
        return VendorFault(ERRORS.classify(self.status, self.code, self.words))


def kept(at: Session, stream: str) -> Kept:
    """The stream's state. Raises VendorFault or NoAnswer."""
    said = _over(
        at, "stream info", stream, lambda client: _ask(client, at, f"STREAM.INFO.{stream}")
    )
    config, state = _part(said, "config"), _part(said, "state")
    return Kept(
        made=str(said.get("created", "")),
        first=_whole(state, "first_seq"),
        last=_whole(state, "last_seq"),
        subjects=tuple(map(str, cast(list[object], config.get("subjects") or []))),
        retention=str(config.get("retention", "")),
        most_age_seconds=_whole(config, "max_age") / NANOSECONDS,
        window_seconds=_whole(config, "duplicate_window") / NANOSECONDS,
    )


def page(
    at: Session, stream: str, subject: str, after: int, most: int, most_bytes: int
) -> tuple[list[Message], bool]:
    """Messages after a sequence, oldest first, and whether there are more. A consumer is made for
    this page alone: it acknowledges nothing, since the committed cursor is the only truth."""
    return _over(
        at,
        "pull",
        f"{stream} {subject} after {after}",
        lambda client: _page(client, at, stream, subject, after, most, most_bytes),
    )


def last_of(at: Session, stream: str, subjects: Sequence[str]) -> list[Message | None]:
    """The last message of each subject, as the stream's leader has it, or None. A direct get would
    be faster, but a replica that lags behind may answer it."""

    async def one(client: Client, subject: str) -> Message | None:
        try:
            body = {"last_by_subj": subject}
            said = await _ask(client, at, f"STREAM.MSG.GET.{stream}", body)
        except Refused as error:
            if error.code == NO_MESSAGE:
                return None
            raise
        return _stored(_part(said, "message"))

    async def every(client: Client) -> list[Message | None]:
        return list(await asyncio.gather(*(one(client, subject) for subject in subjects)))

    return _over(at, "last message", f"{stream} × {len(subjects)}", every)


Published = int | Refused | NoAnswer
"""The sequence of a stored message, or why it is not known to be stored."""


def publish(at: Session, stream: str, messages: Sequence[Publication]) -> list[Published]:
    """Publish side by side; an answer per message, in order. Raises NoAnswer when the line is down
    before anything was sent."""
    line = _line(at)

    async def one(client: Client, message: Publication) -> Published:
        headers = {
            **message.headers,
            "Nats-Expected-Stream": stream,
            "Nats-Expected-Last-Subject-Sequence": str(message.after),
        }
        try:
            reply = await client.request(
                message.subject, message.body, timeout=at.timeout_seconds, headers=headers
            )
            return _whole(_judged(reply), "seq")
        except NoRespondersError:
            return Refused(503, NO_RESPONDER, f"nothing listens on {message.subject}")
        except MaxPayloadError:
            return Refused(400, "max_payload", f"{len(message.body)} bytes")
        except Refused as error:
            return error
        except (NatsError, OSError, TimeoutError) as error:
            if f'"{message.subject}"'.lower() in line.forbidden.lower():
                return Refused(403, "", line.forbidden)
            return NoAnswer(f"no acknowledgement: {type(error).__name__}")

    async def every(client: Client) -> list[Published]:
        return list(await asyncio.gather(*(one(client, message) for message in messages)))

    try:
        answers = _told(at, line, "publish", f"{stream} × {len(messages)}", every)
    except NoAnswer as error:
        return [error for _ in messages]
    if any(isinstance(one, NoAnswer) for one in answers):
        at.drop_line()  # what it may still hold must not leave later
    return answers


# --- below ------------------------------------------------------------------------------------


async def _page(
    client: Client, at: Session, stream: str, subject: str, after: int, most: int, most_bytes: int
) -> tuple[list[Message], bool]:
    said = await _ask(
        client,
        at,
        f"CONSUMER.CREATE.{stream}",
        {
            "stream_name": stream,
            "config": {
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": after + 1,
                "ack_policy": "none",
                "filter_subject": subject,
                "replay_policy": "instant",
                "inactive_threshold": KEEP_SECONDS * NANOSECONDS,
                "mem_storage": True,
                "num_replicas": 1,
            },
        },
    )
    name = str(said.get("name", ""))
    waiting = _whole(said, "num_pending")
    found: list[Message] = []
    size = 0
    try:
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)
        for _ in range(most // PULL + 1):
            wanted = min(PULL, waiting - len(found), most - len(found))
            if wanted <= 0 or size >= most_bytes:
                break
            ask = json.dumps({"batch": wanted, "no_wait": True}).encode()
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", ask, reply=inbox)
            for _ in range(wanted):
                message = await answers.next_msg(timeout=at.timeout_seconds)
                if not message.reply:  # a status, not a stored message
                    waiting = len(found)  # nothing more to be had
                    break
                found.append(_delivered(message))
                size += len(message.data)
        await answers.unsubscribe()
    finally:
        await client.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{name}")
    return found, waiting > len(found)


async def _ask(client: Client, at: Session, what: str, body: object = None) -> Answer:
    """One question to the JetStream API. Raises Refused, or what the client raises."""
    text = json.dumps(body).encode() if body is not None else b""
    try:
        reply = await client.request(f"$JS.API.{what}", text, timeout=at.timeout_seconds)
    except NoRespondersError:
        raise Refused(503, "10076", "JetStream is not enabled, or has no leader") from None
    return _judged(reply)


def _judged(reply: Msg) -> Answer:
    said = json.loads(reply.data)
    error = said.get("error")
    if error:
        raise Refused(
            error.get("code"), str(error.get("err_code", "")), str(error.get("description", ""))
        )
    return cast(Answer, said)


def _over(at: Session, what: str, where: str, work: Callable[[Client], Awaitable[T]]) -> T:
    return _told(at, _line(at), what, where, work)


def _told(
    at: Session, line: NatsLine, what: str, where: str, work: Callable[[Client], Awaitable[T]]
) -> T:
    """Do it, keep evidence, and turn what the client raises into what a connector raises."""
    try:
        with at.told(what, where):
            return line.call(work)
    except Refused as error:
        raise error.fault() from None
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        at.drop_line()
        if line.forbidden:
            raise Refused(403, "", line.forbidden).fault() from None
        words = f"{what} {where}: {type(error).__name__} {error}".strip()
        raise NoAnswer(words) from None


def _line(at: Session) -> NatsLine:
    """The line, opened anew when the server has hung up meanwhile."""
    line = at.line(NatsLine)
    if not line.idle or line.alive():
        return line
    at.drop_line()
    return at.line(NatsLine)


def _delivered(message: Msg) -> Message:
    metadata = message.metadata
    return Message(
        metadata.sequence.stream, message.subject, dict(message.headers or {}), message.data
    )


def _stored(message: Answer) -> Message:
    """A message as STREAM.MSG.GET tells it: headers and body in base64."""
    headers: dict[str, str] = {}
    block = base64.b64decode(str(message.get("hdrs", ""))).decode("utf-8", "replace")
    for line in block.split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    body = base64.b64decode(str(message.get("data", "")))
    return Message(_whole(message, "seq"), str(message.get("subject", "")), headers, body)


def _part(said: Answer, name: str) -> Answer:
    value = said.get(name)
    return cast(Answer, value) if isinstance(value, dict) else {}


def _whole(said: Answer, name: str) -> int:
    value = said.get(name, 0)
    return value if isinstance(value, int) else 0
