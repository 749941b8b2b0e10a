"""How fast boundedjobs is beside others: all in turns, in one process, on this machine.

Peers that are not installed are left out: `pip install -e ".[bench]"` has them all.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
from pathlib import Path

from tests.benchmarks.chart import chart
from tests.benchmarks.contest import Outcome, run
from tests.benchmarks.record import machine, missing, record
from tests.benchmarks.table import table
from tests.benchmarks.workloads import WORKLOADS

HANGS = 600.0
"""Seconds after which a workload is given up, with the stacks of all threads."""

BEGIN, END = "<!-- benchmarks -->\n", "<!-- /benchmarks -->\n"

RATIOS = (
    "A ratio is the peer's figure by ours in the same round: above 1, ours is the better one. "
    "All figures are medians over rounds."
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = ", ".join(WORKLOADS)
    parser.add_argument(
        "--only",
        action="append",
        choices=WORKLOADS,
        metavar="NAME",
        help=f"run that workload and no other; may be given several times. One of: {names}",
    )
    parser.add_argument("--short", action="store_true", help="few jobs and rounds: does it run?")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all values there")
    parser.add_argument("--svg", type=new_file, metavar="FILE", help="draw a chart of the ratios")
    parser.add_argument(
        "--update",
        type=marked_file,
        metavar="FILE",
        help=f"put the table into that Markdown, between {BEGIN.strip()} and {END.strip()}",
    )
    return parser.parse_args()


def new_file(given: str) -> Path:
    """A file that can be written, known before anything is measured."""
    path = Path(given)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{given} is a folder")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{given} is in no folder that exists")
    return path


def marked_file(given: str) -> Path:
    """A file that has a place for the table."""
    path = Path(given)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{given} is not a file")
    if END not in path.read_text(encoding="utf-8").partition(BEGIN)[2]:
        raise argparse.ArgumentTypeError(f"{given} has no lines {BEGIN.strip()} and {END.strip()}")
    return path


def update(path: Path, words: str) -> None:
    """Put them between the marks."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{words}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure; then print and write what came of it."""
    options = arguments()
    chosen = [
        workload for name, workload in WORKLOADS.items() if name in (options.only or WORKLOADS)
    ]
    not_installed = missing(chosen)
    outcomes: list[Outcome] = []
    for workload in chosen:
        print(f"{workload.name} ...", file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(HANGS, exit=True)
        outcomes.extend(run(workload, short=options.short))
        faulthandler.cancel_dump_traceback_later()
    note = f"{machine()}. {RATIOS}"
    if not_installed:
        note += f" Not installed, so left out: {', '.join(not_installed)}."
    report = f"{table(outcomes)}\n\n{note}\n"
    print(report, end="")
    if options.json is not None:
        found = record(outcomes, short=options.short, not_installed=not_installed)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.svg is not None:
        options.svg.write_text(chart(outcomes, machine()), encoding="utf-8")
    if options.update is not None:
        update(options.update, report)


if __name__ == "__main__":
    main()
