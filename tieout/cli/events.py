"""The verb about events: what a landscape publishes and reads over message brokers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tieout.cli.shared import FolderOption, JsonOption, landscape_folder, out
from tieout.cli.telling import say_json, told
from tieout.engine.asyncapi import asyncapi
from tieout.engine.opening import connectors_of, known_environment, load_checked


def register(application: typer.Typer) -> None:
    """Put this verb on the command line."""
    application.command("events")(told(events))


def events(
    folder: FolderOption = None,
    environment: Annotated[
        str,
        typer.Option("--environment", "-e", help="Name the servers of this environment too."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List the events that the landscape publishes and reads; with --json as AsyncAPI 3.0."""
    landscape, _ = load_checked(landscape_folder(folder))
    if environment:
        known_environment(landscape, environment)
    document: Any = asyncapi(landscape, connectors_of(landscape), environment)
    if as_json:
        say_json(document)
        return
    for name, operation in document["operations"].items():
        channel = name.partition(".")[2]
        kinds = [one["$ref"].rpartition("/")[2] for one in operation["messages"]]
        does = "publishes" if operation["action"] == "send" else "reads"
        where = f"{channel}, {document['channels'][channel]['address']}"
        out(as_json).print(f"{does:10} {', '.join(kinds)}  ({where})", markup=False, soft_wrap=True)
    if not document["operations"]:
        out(as_json).print("No events: no system of this landscape is a message broker.")
