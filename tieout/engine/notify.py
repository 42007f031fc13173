"""Tells people: mail through a configured server, chat through an incoming webhook.

What leaves are the words of alerts: counts, names of systems and flows, ages. Never a payload. A
chat's URL is a secret and may lead only to the addresses that its channel names.
"""

from __future__ import annotations

import json
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from tieout import clock
from tieout.landscape.service_levels import AlertChannel, AlertPolicy, MailServer
from tieout.ports.http import NoAnswer, Request
from tieout.ports.secrets import SecretMissing, resolve
from tieout.ports.signin import SignInFailed
from tieout.ports.transport import http_transport
from tieout.store.alerts import Message

SEND_SECONDS = 15.0
MOST_CHAT_CHARACTERS = 3_500  # Slack cuts at 4,000


class NotSent(Exception):
    """A message did not leave, or nobody said that it arrived. Says why, without any secret."""


def send(message: Message, channel: AlertChannel, policy: AlertPolicy, folder: Path) -> None:
    """Send one message on its channel. Raises NotSent."""
    try:
        if channel.chat:
            _chat(message, channel, folder)
        elif policy.mail is not None:
            _mail(message, channel, policy.mail, folder)
        else:
            raise NotSent("no mail server is configured")
    except SecretMissing as error:
        raise NotSent(str(error)) from None


def _mail(message: Message, channel: AlertChannel, server: MailServer, folder: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = " ".join(f"[tieout] {message.title}".split())[:200]
    mail["From"] = server.sender
    mail["To"] = ", ".join(channel.mail_to)
    mail["Date"] = format_datetime(clock.now())
    mail["Message-ID"] = f"<alert-{message.message_id}.{clock.new_id().hex}@tieout>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body)
    safe = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(server.host, server.port, timeout=SEND_SECONDS, context=safe)
            if server.encryption == "tls"
            else smtplib.SMTP(server.host, server.port, timeout=SEND_SECONDS)
        ) as line:
            if server.encryption == "starttls":
                line.starttls(context=safe)
            if server.user:
                line.login(server.user, resolve("password", server.password, folder))
            refused = line.send_message(mail)
    except (smtplib.SMTPException, OSError) as error:
        raise NotSent(f"the mail server {server.host}: {_kind(error)}") from None
    if refused:
        raise NotSent(f"the mail server refused {len(refused)} of {len(channel.mail_to)} receivers")


def _kind(error: Exception) -> str:
    """The kind of an error, and the server's number; its words may repeat what it was sent."""
    number = getattr(error, "smtp_code", None) or getattr(error, "errno", None)
    return type(error).__name__ + (f" {number}" if number else "")


def _chat(message: Message, channel: AlertChannel, folder: Path) -> None:
    url = resolve("chat", channel.chat, folder).strip()
    text = f"*{message.title}*\n{message.body}"[:MOST_CHAT_CHARACTERS]
    request = Request(
        "POST",
        url,
        {"Content-Type": "application/json"},
        json.dumps({"text": text}, ensure_ascii=False).encode(),
        timeout_seconds=SEND_SECONDS,
    )
    try:
        answer = http_transport(channel.addresses, most_in_flight=1)(request)
    except SignInFailed:
        raise NotSent("the webhook leads to an address that the channel does not name") from None
    except NoAnswer:
        raise NotSent("the webhook gave no answer") from None
    if answer.status >= 300:
        raise NotSent(f"the webhook answered {answer.status}")
