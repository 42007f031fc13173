"""Turns a declared interface into a stream of the lines of files."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

from tieout.ports.connector import Stream
from tieout.ports.declared import fields_of
from tieout.rules.interface import InterfaceSpec

FORMATS = ("jsonl", "csv")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
OPTIONS: Mapping[str, str] = {
    "files": "which files, by pattern: invoices-*.jsonl (required); read in the order of the names",
    "format": "jsonl (one JSON object a line) or csv (the ending of the pattern)",
    "whole": "newline: what ends with a line break is taken at once; marker: a file is taken only "
    "when NAME.done stands beside it (newline)",
    "header": "csv: yes when the first line names the columns; no: the declared fields, in order "
    "(yes)",
    "delimiter": "csv: comma, semicolon, tab or pipe (comma)",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A stream and the files behind it."""

    stream: Stream
    pattern: str
    csv: bool
    marked: bool  # a file is taken only when its .done marker is there
    header: bool
    delimiter: str

    def takes(self, name: str) -> bool:
        """Whether a file of this name belongs to the stream: never a hidden one or a marker."""
        return (
            fnmatch.fnmatchcase(name, self.pattern)
            and not name.startswith(".")
            and not name.endswith(".done")
        )


def sources_of(interfaces: Mapping[str, InterfaceSpec]) -> Mapping[str, Source]:
    """The sources of every interface. Raises BadLandscape."""
    return {name: _source(spec) for name, spec in interfaces.items()}


def _source(spec: InterfaceSpec) -> Source:
    for name in spec.options:
        if name not in OPTIONS:
            raise spec.refused(
                f"has the unknown option '{name}'", f"There is: {', '.join(OPTIONS)}"
            )
    pattern = spec.options.get("files", "")
    if not pattern or "/" in pattern or "\\" in pattern or pattern.startswith("."):
        raise spec.refused(
            f"names its files '{pattern}'", "Write option 'files', a pattern without folders"
        )
    if not spec.version:
        raise spec.refused("names no version", "Name the field that orders the versions of a row")
    kind = _choice(spec, "format", FORMATS, pattern.rpartition(".")[2])
    if kind == "csv":
        for one in spec.fields:
            if one.type in ("list", "object"):
                raise spec.refused(
                    f"has the {one.type} '{one.name}' in a csv file", "A column holds one value"
                )
    return Source(
        stream=Stream(
            name=spec.name,
            title=spec.title,
            fields=fields_of(spec.fields),
            key=spec.key,
            version=spec.version,
            reads=True,
        ),
        pattern=pattern,
        csv=kind == "csv",
        marked=_choice(spec, "whole", ("newline", "marker"), "newline") == "marker",
        header=_choice(spec, "header", ("yes", "no"), "yes") == "yes",
        delimiter=DELIMITERS[_choice(spec, "delimiter", tuple(DELIMITERS), "comma")],
    )


def _choice(spec: InterfaceSpec, option: str, choices: tuple[str, ...], default: str) -> str:
    told = spec.options.get(option, default)
    if told not in choices:
        raise spec.refused(f"has the option {option}: {told}", f"Write {' or '.join(choices)}")
    return told
