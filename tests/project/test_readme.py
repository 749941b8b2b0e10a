"""The README tells the truth: its code runs, prints what it says, and its commands are the agreed ones."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of Python in the README, and the block of text right after it: what it prints."""

    line: int
    code: str
    printed: str | None


def python_blocks() -> list[Block]:
    pattern = re.compile(
        r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE
    )
    return [
        Block(README.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in pattern.finditer(README)
    ]


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` as a script of its own in `folder`, warnings being errors."""
    script = folder / "readme.py"
    script.write_text(code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


BLOCKS = python_blocks()
APPS = [block for block in BLOCKS if "FastAPI(" in block.code]
SCRIPTS = [block for block in BLOCKS if block not in APPS]


def name(block: Block) -> str:
    return f"line_{block.line}"


def test_no_code_of_the_readme_goes_unrun() -> None:
    assert len(APPS) == 1
    assert len(SCRIPTS) == README.count("```python") - 1
    assert all(block.printed is not None for block in SCRIPTS)


@pytest.mark.parametrize("block", SCRIPTS, ids=name)
def test_a_script_of_the_readme_prints_what_the_readme_says(block: Block, tmp_path: Path) -> None:
    done = run(block.code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == block.printed


def test_the_app_of_the_readme_reports_the_missing_module(tmp_path: Path) -> None:
    client = """
from fastapi.testclient import TestClient

with TestClient(app) as client:
    assert client.post("/documents/7").status_code == 200
"""
    done = run(APPS[0].code + client, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "7 pending ",
        "7 running ",
        "7 failed No module named 'a_module_that_someone_deleted'",
    ]
    assert "ModuleNotFoundError" in done.stderr  # the one ERROR on the logger `boundedjobs`


def test_the_two_commands_are_the_agreed_ones() -> None:
    commands = [line for line in README.splitlines() if line.startswith("pip install")]
    assert commands == [
        'pip install -e ".[examples]" && python -m examples.content_app',
        'pip install -e ".[test]" && pytest',
    ]


def test_the_readme_links_to_files_that_exist() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
