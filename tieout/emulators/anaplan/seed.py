"""What a fresh tenant holds: one workspace, one model, the bookings feed and its control view.

Ids follow the vendor's prefixes: 101 list, 102 module and view, 112 import, 113 file, 116 export.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from functools import cache

from tieout.emulators.anaplan.answers import Row, Tables

WORKSPACE_ID = "8a8196b27a2f4c1d017a3f5e90c1d2e4"
MODEL_ID = "5C1E9A7B03D84F62A1B7E4D90F3C8A56"
ENTITY_LIST_ID = "101000000001"
BOOKINGS_LIST_ID = "101000000002"
MODULE_ID = "102000000001"
IMPORT_ID = "112000000001"
FILE_ID = "113000000001"
EXPORT_ID = "116000000001"
ENTITIES = "NWEU,NWUK,NWNA,NWSA"

FIRST_YEAR, LAST_YEAR = 2015, 2035  # the model's timescale


@cache
def timescale() -> frozenset[str]:
    """Every label the Time dimension knows: `Jul 20`, `Jul 2020` or `2020-07`."""
    return frozenset(
        label
        for year in range(FIRST_YEAR, LAST_YEAR + 1)
        for month in range(1, 13)
        for label in (
            f"{calendar.month_abbr[month]} {year % 100:02d}",
            f"{calendar.month_abbr[month]} {year}",
            f"{year}-{month:02d}",
        )
    )


def seed(base_url: str, settings: Mapping[str, str]) -> Tables:
    """The tables of a new tenant. Setting `entities`: codes of the legal entity list."""
    workspace = settings.get("workspace_id", WORKSPACE_ID)
    model = settings.get("model_id", MODEL_ID)
    codes = [code.strip() for code in settings.get("entities", ENTITIES).split(",")]
    module = settings.get("bookings_view_id", MODULE_ID)
    return {
        "tokens": {},
        "limits": {},
        "workspaces": {
            workspace: {
                "id": workspace,
                "name": "Northwind Planning",
                "active": True,
                "sizeAllowance": 10_737_418_240,
                "currentSize": 52_428_800,
            }
        },
        "models": {model: _model(base_url, workspace, model)},
        "modules": {module: {"id": module, "name": "Bookings"}},
        "views": {
            module: {"code": "", "id": module, "name": "Bookings.Default", "moduleId": module}
        },
        "lists": {
            ENTITY_LIST_ID: {"id": ENTITY_LIST_ID, "name": "Legal entities"},
            BOOKINGS_LIST_ID: {"id": BOOKINGS_LIST_ID, "name": "Bookings"},
        },
        "entities": {
            code: {"id": str(501_000_000_000 + number), "name": code, "code": code}
            for number, code in enumerate(codes)
            if code
        },
        **_actions(settings),
        "uploads": {},
        "tasks": {},
        "snapshots": {},
        "dumps": {},
        "bookings": {},
    }


def _actions(settings: Mapping[str, str]) -> Tables:
    """The file, the import that reads it, the export of the same cells."""
    file = settings.get("bookings_file_id", FILE_ID)
    action = settings.get("bookings_import_id", IMPORT_ID)
    return {
        "files": {file: a_file(file, "bookings.csv")},
        "imports": {
            action: {
                "id": action,
                "name": "Bookings from bookings.csv",
                "importDataSourceId": file,
                "importType": "MODULE_DATA",
            }
        },
        "exports": {
            EXPORT_ID: {
                "id": EXPORT_ID,
                "name": "Bookings.csv",
                "exportType": "TABULAR_MULTI_COLUMN",
                "exportFormat": "text/csv",
                "encoding": "UTF-8",
                "layout": "TABULAR_MULTI_COLUMN",
            }
        },
        "actions": {},
        "processes": {},
    }


def a_file(file_id: str, name: str) -> Row:
    """A file object as the listing shows it."""
    return {
        "id": file_id,
        "name": name,
        "chunkCount": 0,
        "delimiter": '"',
        "encoding": "UTF-8",
        "firstDataRow": 2,
        "format": "txt",
        "headerRow": 1,
        "separator": ",",
    }


def _model(base_url: str, workspace: str, model: str) -> Row:
    return {
        "id": model,
        "name": "Revenue plan",
        "activeState": "UNLOCKED",
        "lastSavedSerialNumber": 1,
        "lastModifiedByUserGuid": "8a8196b27a2f4c1d017a3f5e90c1d2e5",
        "memoryUsage": 1_048_576,
        "currentWorkspaceId": workspace,
        "currentWorkspaceName": "Northwind Planning",
        "modelUrl": f"{base_url}/anaplan/framework.jsp?selectedModelId={model}",
        "categoryValues": [],
        "isoCreationDate": "2020-01-02T08:00:00.000+0000",
        "lastModified": "2020-01-02T08:00:00.000+0000",
        # not shown by the vendor; what a rehearsal plants through the back door:
        "failImportWith": "",  # the next import fails as a whole with this text
        "noAccessCodes": [],  # list items the user may not write: rows are ignored
    }
