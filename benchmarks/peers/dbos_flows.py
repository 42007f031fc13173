"""DBOS with workflows of five empty steps: `python dbos_flows.py URL RUNS` prints runs a second."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

THREADS = 8


@DBOS.step()
def step(number: int) -> int:
    return number


@DBOS.workflow()
def five_steps(number: int) -> int:
    return sum(step(number + one) for one in range(5))


def main() -> None:
    url, runs = sys.argv[1], int(sys.argv[2])
    DBOS(config={"name": "five-steps", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    five_steps(0)
    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(five_steps, range(runs)))
    print(json.dumps({"runs_per_second": runs / (time.monotonic() - started)}))
    DBOS.destroy()


main()
