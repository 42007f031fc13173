"""The application: all verbs under one name. Errors become words and exit codes in `telling`."""

from __future__ import annotations

import typer

from tieout import __version__
from tieout.cli import (
    approving,
    archiving,
    audit,
    build,
    demo,
    events,
    rehearse,
    replaying,
    running,
    work,
    workers,
)

application = typer.Typer(
    name="tieout",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keeps CRM, ERP, billing and planning systems in agreement, and proves it.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"tieout {__version__}")
        raise typer.Exit


@application.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Keeps CRM, ERP, billing and planning systems in agreement, and proves it."""


for verbs in (
    build,
    rehearse,
    events,
    running,
    workers,
    work,
    replaying,
    archiving,
    approving,
    audit,
    demo,
):
    verbs.register(application)


def main() -> None:
    """The `tieout` command."""
    application()
