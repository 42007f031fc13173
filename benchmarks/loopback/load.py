"""The generator: webhooks by the clock, in a process of its own, whatever the answers do.

`python -m benchmarks.loopback.load URL --rate 50 --seconds 20 --prefix a` posts signed invoices and
prints one JSON line: per invoice its reference, the scheduled instant and the instant of the
acknowledgement in nanoseconds, and its status. Open loop: a slow answer delays nobody, and latency
counts from the scheduled instant.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import dataclass, field

import aiohttp

from benchmarks.loopback.connector import SIGNATURE, sign
from benchmarks.loopback.target import NANOSECONDS, instant
from benchmarks.loopback.world import SECRET

CUSTOMERS = 20
ANSWER_SECONDS = 30.0
LEAD_SECONDS = 0.2
HEADERS = {"Content-Type": "application/json"}


@dataclass
class Sent:
    """What became of each webhook, by reference: scheduled, acknowledged, status."""

    told: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def customer(number: int) -> bytes:
    region = "north" if number % 2 else "south"
    row = {
        "id": f"C{number}",
        "version": 1,
        "name": f"Customer {number}",
        "region": region,
        "currency": "EUR",
    }
    return json.dumps(row).encode()


def invoice(reference: str, number: int, version: int = 1) -> bytes:
    """An invoice of about 600 bytes with three lines that add up."""
    prices = [100 + (number * 7 + line * 13) % 900 for line in range(3)]
    lines = [
        {
            "line": line + 1,
            "product": f"P{(number + line) % 50}",
            "quantity": line + 1,
            "price": f"{price}.25",
            "amount": f"{(price * 100 + 25) * (line + 1) / 100:.2f}",
        }
        for line, price in enumerate(prices)
    ]
    cents = sum((price * 100 + 25) * (line + 1) for line, price in enumerate(prices))
    row = {
        "id": reference,
        "version": version,
        "customer": f"C{number % CUSTOMERS}",
        "region": "north" if number % 2 else "south",
        "currency": "EUR",
        "date": f"2026-{number % 12 + 1:02}-15",
        "total": f"{cents // 100}.{cents % 100:02}",
        "status": "posted",
        "note": "x" * 120,
        "lines": lines,
    }
    return json.dumps(row).encode()


async def post(client: aiohttp.ClientSession, url: str, body: bytes) -> int:
    """The status of the answer; 0 when there was none."""
    headers = {**HEADERS, SIGNATURE: sign(SECRET, body)}
    try:
        async with client.post(url, data=body, headers=headers) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return 0


async def drive(url: str, rate: float, seconds: float, prefix: str) -> Sent:
    sent = Sent()
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:

        async def one(reference: str, body: bytes, scheduled: int) -> None:
            status = await post(client, url, body)
            sent.told[reference] = (scheduled, instant(), status)

        count = max(1, int(rate * seconds))
        bodies = [(f"{prefix}-{n}", invoice(f"{prefix}-{n}", n)) for n in range(count)]
        start = instant() + int(LEAD_SECONDS * NANOSECONDS)
        tasks = []
        for number, (reference, body) in enumerate(bodies):
            scheduled = start + int(number * NANOSECONDS / rate)
            wait = (scheduled - instant()) / NANOSECONDS
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one(reference, body, scheduled)))
        await asyncio.gather(*tasks)
    return sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--prefix", default="e")
    asked = parser.parse_args()
    sent = asyncio.run(drive(asked.url, asked.rate, asked.seconds, asked.prefix))
    print(json.dumps(sent.told))


if __name__ == "__main__":
    main()
