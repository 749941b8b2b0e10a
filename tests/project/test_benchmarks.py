"""The benchmark runs, says what it measured, and says what is wrong; how fast anything is, is not tested."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.contest import OURS, Figure
from tests.benchmarks.table import HEAD
from tests.benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

COMMAND = ("-m", "tests.benchmarks")
WITHOUT_PEERS = (
    "-c",
    "import runpy, sys; sys.modules.update(aiojobs=None, anyio=None, pebble=None); "
    "runpy.run_module('tests.benchmarks', run_name='__main__')",
)

pytestmark = pytest.mark.slow


def benchmark(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it; not under coverage, which would be what it measures."""
    unmeasured = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=unmeasured,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_what_was_measured_is_printed_written_and_drawn(tmp_path: Path) -> None:
    found, drawn, page = tmp_path / "all.json", tmp_path / "all.svg", tmp_path / "page.md"
    page.write_text("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n")
    chosen = ["no-op", "coroutine", "memory"]  # CI has them all measured, in this short form
    options = ("--short", "--json", found, "--svg", drawn, "--update", page)
    done = benchmark(*COMMAND, *options, *(f"--only={name}" for name in chosen))
    assert done.returncode == 0, done.stderr

    workloads = json.loads(found.read_text())["workloads"]
    assert list(workloads) == chosen
    for figures in workloads.values():
        assert figures
        for figure in figures.values():
            assert len(figure["contenders"]) > 1
            assert all(each["median"] > 0 for each in figure["contenders"].values())
            assert set(figure["ratios"]) == set(figure["contenders"]) - {OURS}
            assert figure["title"] in done.stdout
    assert ElementTree.parse(drawn).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert page.read_text() == (
        f"before\n<!-- benchmarks -->\n\n{done.stdout}\n<!-- /benchmarks -->\nafter\n"
    )


def test_peers_that_are_not_installed_are_left_out_and_named() -> None:
    done = benchmark(*WITHOUT_PEERS, "--short", "--only", "no-op", "--only", "coroutine")
    assert done.returncode == 0, done.stderr
    assert "Not installed, so left out: aiojobs, anyio, pebble." in done.stdout
    assert "ThreadPoolExecutor" in done.stdout
    assert "anyio.to_thread" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--only", "nothing"), "argument --only: invalid choice: 'nothing'"),
        (("--json", "no/such.json"), "argument --json: no/such.json is in no folder that exists"),
        (("--svg", "tests"), "argument --svg: tests is a folder"),
        (("--update", "no.md"), "argument --update: no.md is not a file"),
        (
            ("--update", "CHANGELOG.md"),
            "argument --update: CHANGELOG.md has no lines <!-- benchmarks --> and <!-- /benchmarks -->",
        ),
        (("--rounds", "3"), "unrecognized arguments: --rounds 3"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_measured(
    arguments: tuple[str, ...], complaint: str
) -> None:
    done = benchmark(*COMMAND, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"python -m tests.benchmarks: error: {complaint}" in done.stderr


def test_the_readme_shows_all_that_is_measured() -> None:
    (shown,) = re.findall(r"<!-- benchmarks -->\n(.*)<!-- /benchmarks -->", README, re.DOTALL)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown.splitlines()]
    assert list(HEAD) in table
    titles = [row[0] for row in table if row and row[0]][2:]
    assert titles == [figure.title for figure in figures_in_full()]


def figures_in_full() -> list[Figure]:
    """Those of a full run: one is of the short form alone."""
    return [
        figure
        for workload in WORKLOADS.values()
        for key, figure in workload.figures.items()
        if key != "1000" or workload.name != "operations"
    ]
