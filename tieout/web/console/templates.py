"""The page templates, with the words and titles that every page uses."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from fastapi.responses import HTMLResponse

from tieout.engine.context import Context
from tieout.web.console import words
from tieout.web.console.events import OWN_LANE

FOLDER = Path(__file__).resolve().parent.parent / "templates"


class Templates:
    """Renders pages: everything is escaped, and a name that a template misspells is an error."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters.update(
            amount=words.amount,
            count=words.count,
            instant=words.instant,
            clock_time=words.clock_time,
            day=words.day,
            duration=words.duration,
            human=words.human,
            sentence=words.sentence,
            system=self.system_title,
            side=self.side_title,
            entity=self.entity_title,
            pretty=pretty,
        )
        self.environment.globals.update(
            age=words.age,
            state=words.state,
            counted=words.counted,
            trouble=words.trouble,
            door=words.door,
            kind_of_break=words.kind_of_break,
            record_url=record_url,
            group_url=group_url,
            environment=context.environment,
            none_amount=Decimal(0),
        )

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        text = self.environment.get_template(template).render(
            landscape=self.context.landscape, **values
        )
        return HTMLResponse(text, status)

    def system_title(self, name: str) -> str:
        """NetSuite, as the landscape titles it."""
        if name == OWN_LANE:
            return "Tieout"
        spec = self.context.landscape.systems.get(name)
        return spec.title if spec is not None and spec.title else name

    def side_title(self, name: str) -> str:
        """A side of a reconciliation: netsuite_orders -> NetSuite orders."""
        systems = self.context.landscape.systems
        for system in sorted(systems, key=len, reverse=True):
            if name == system or name.startswith(f"{system}_"):
                rest = name.removeprefix(system).replace("_", " ")
                return self.system_title(system) + rest
        return words.human(name)

    def entity_title(self, code: str) -> str:
        """Northwind Europe BV for NWEU; the code itself when it is no legal entity of ours."""
        entity = self.context.landscape.legal_entities.get(code)
        return entity.title if entity is not None else code


def record_url(any_id: str) -> str:
    return f"/records/{quote(any_id, safe=':')}"


def group_url(reason: str, control: str, state: str = "open") -> str:
    query = {"reason": reason, "control": control} | ({"state": state} if state != "open" else {})
    return f"/exceptions/list?{urlencode(query)}"


def pretty(body: str) -> str:
    """Canonical JSON, indented for reading; its amounts are texts, so nothing is rounded."""
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
