"""Whatever a browser or an attacker sends: an answer below 500, and always the same protection."""

from __future__ import annotations

import random
from urllib.parse import quote

import httpx

CALLS = 250
PATHS = (
    *("/today", "/records", "/exceptions", "/exceptions/list", "/tie-outs", "/nowhere", "/"),
    *("/records/*", "/exceptions/*", "/tie-outs/*", "/static/*", "/intake/*/*"),
    *("/records/*.json", "/exceptions/*.json", "/tie-outs/*.json", "/today.json"),
)
PARTS = (
    *("1", "0", "-1", "007", "9" * 400, "9" * 5_000, str(2**63), "\u00b2", "\u0663", "1e3"),
    *("..", "../../etc/passwd", "%00", "\0", "a\0b", "\ud7ff", "'", "' OR 1=1 --", "%", "_", "\\"),
    *("<script>alert(1)</script>", "{{7*7}}", "\u202e", "a" * 500, "arrival:1", "case:\u00b2"),
    *("record:" + "9" * 30, "order:%", "@", "\r\nX: y", " ", "\t", "e\u0301", "DISPATCH:", "#"),
)
NAMES = ("q", "state", "reason", "control", "name")


def test_no_request_makes_the_console_fall_over(client: httpx.Client) -> None:
    dice = random.Random(7)
    met: dict[int, str] = {}
    for _ in range(CALLS):
        path = dice.choice(PATHS)
        while "*" in path:
            path = path.replace("*", quote(dice.choice(PARTS), safe=dice.choice(("", "/."))), 1)
        asked = {dice.choice(NAMES): dice.choice(PARTS) for _ in range(dice.randint(0, 3))}
        method = dice.choice(("GET", "GET", "GET", "HEAD", "POST", "OPTIONS"))
        answer = client.request(method, path, params=asked, follow_redirects=False)
        assert answer.status_code < 500, (method, path, asked)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "<script>alert(1)" not in answer.text
        assert answer.headers.get("location", "/")[:2] not in {"//", "/\\", "ht"}
        met.setdefault(answer.status_code, path)
    assert {200, 404, 405} <= met.keys(), met


def test_a_number_beyond_all_measure_is_not_there(client: httpx.Client) -> None:
    for path in ("/exceptions/", "/tie-outs/"):
        for twin in ("", ".json"):
            assert client.get(f"{path}{'9' * 5_000}{twin}").status_code == 404
