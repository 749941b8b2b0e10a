"""How fast it is, beside others: `python -m tests.benchmarks`."""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks import coroutines, sync_jobs
from tests.benchmarks.contest import Outcome, run
from tests.benchmarks.table import table

WORKLOADS = {
    workload.name: workload
    for workload in (sync_jobs.silent, sync_jobs.heard, coroutines.workload)
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", action="append", choices=WORKLOADS, metavar="NAME")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    for name in arguments.only or WORKLOADS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        outcomes.extend(run(WORKLOADS[name], short=arguments.short))
    print(table(outcomes))


if __name__ == "__main__":
    main()
