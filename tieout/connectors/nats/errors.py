"""What the refusals of a NATS server mean, and who acts.

`status` is the code of the JetStream API's error object, `code` its `err_code`. Source: the
server's own list of JetStream errors (errors.json) and the JetStream wire API documents.
"""

from __future__ import annotations

from tieout.ports.errors import ErrorRule, ErrorTable

WRONG_LAST_SEQUENCE = "10071"
NO_MESSAGE = "10037"
MESSAGES_LOST = "messages_lost"
NO_RESPONDER = "no_responder"
STREAM_UNFIT = "stream_unfit"

ERRORS = ErrorTable(
    (
        ErrorRule(
            "already_there",
            "Another event is the last one of this subject by now",
            "Nothing to do; the look that follows says whether it is ours.",
            code=(WRONG_LAST_SEQUENCE,),
        ),
        ErrorRule(
            "drift",
            "Messages were removed from the stream before we had read them",
            "Compare the system in full, then write lost_until with the last lost sequence into "
            "the system's settings in environments/*.yaml.",
            code=(MESSAGES_LOST,),
        ),
        ErrorRule(
            "drift",
            "The stream is not kept in a way that we can rely on",
            "Have the stream's owner set limits retention, or name another stream.",
            code=(STREAM_UNFIT,),
        ),
        ErrorRule(
            "outage",
            "No stream takes messages on this subject now",
            "If it does not pass: check that the stream exists and has this subject.",
            code=(NO_RESPONDER,),
        ),
        ErrorRule(
            "denied",
            "The server does not let this user do that",
            "Have the server's administrator allow the subjects named in docs/how_to/events.md.",
            pattern="permissions violation|not enabled for account",
        ),
        ErrorRule(
            "rejected",
            "The event is larger than the stream or the server takes",
            "Raise max_msg_size of the stream or max_payload of the server, or send less.",
            code=("10054", "10097", "max_payload"),
        ),
        ErrorRule(
            "drift",
            "The server does not know this stream, or the subject belongs to another one",
            "Compare stream and subject of the interface with `nats stream info`.",
            code=("10059", "10060", "10093"),
        ),
        ErrorRule(
            "drift",
            "The stream is sealed or a mirror: nobody can publish to it",
            "Name the stream that takes new messages.",
            code=("10109",),
        ),
        ErrorRule(
            "outage",
            "The stream is full and refuses new messages",
            "Have the stream's owner raise its limits or let it discard old messages.",
            code=("10077",),
            pattern="maximum",
        ),
        ErrorRule(
            "outage",
            "JetStream has no room or no leader now",
            "Nothing to do if it passes; else ask the server's administrator.",
            code=("10008", "10009", "10023", "10028", "10039", "10047", "10076"),
        ),
        ErrorRule(
            "unknown",
            "JetStream failed while it stored the message",
            "Nothing to do; the last message of the subject decides.",
            status=(500, 503),
        ),
    )
)
