"""What the package promises as a package: its names, what importing it costs, its version, its coverage."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import boundedjobs

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "boundedjobs").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def fresh(code: str) -> str:
    """What `code` prints in an interpreter that has imported nothing else."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names_are_sorted_and_are_those_of_the_contract() -> None:
    assert boundedjobs.__all__ == sorted(boundedjobs.__all__)
    assert set(boundedjobs.__all__) == {
        "AsCompleted",
        "BoundedJobsError",
        "BoundedRunner",
        "Failure",
        "Job",
        "JobCancelled",
        "JobDeadlock",
        "JobEvent",
        "JobInterrupted",
        "JobRecord",
        "JobStatus",
        "JobTimeout",
        "NotRunnable",
        "Progress",
        "RemoteError",
        "RunnerClosed",
        "RunnerFull",
        "Snapshot",
        "WorkerLost",
        "current_job",
    }
    assert [name for name in boundedjobs.__all__ if not hasattr(boundedjobs, name)] == []


def test_every_public_name_has_a_docstring() -> None:
    assert [name for name in boundedjobs.__all__ if not getattr(boundedjobs, name).__doc__] == []


def test_importing_the_package_does_not_import_asyncio() -> None:
    code = "import sys, boundedjobs; print('asyncio' in sys.modules)"
    assert fresh(code) == "False"


def test_a_sync_job_does_not_import_asyncio_either() -> None:
    code = """
import sys
from boundedjobs import BoundedRunner
with BoundedRunner(1) as runner:
    assert runner.submit(len, 'abc').result(timeout=20) == 3
print('asyncio' in sys.modules)
"""
    assert fresh(code) == "False"


def test_importing_the_package_starts_no_thread() -> None:
    code = "import threading, boundedjobs; print(threading.active_count())"
    assert fresh(code) == "1"


def test_the_version_is_the_one_that_the_changelog_describes() -> None:
    assert version("boundedjobs") == PROJECT["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['project']['version']}]" in changelog


def test_nothing_is_needed_at_run_time() -> None:
    assert [each for each in requires("boundedjobs") or [] if "extra ==" not in each] == []


def test_no_line_of_the_package_hides_from_the_coverage() -> None:
    hidden = [
        f"{path.name}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "pragma:" in line
    ]
    assert SOURCES
    assert hidden == []


def test_no_module_has_more_than_300_lines_of_code() -> None:
    counts = {path.name: lines_of_code(path) for path in SOURCES}
    assert counts
    assert {name: count for name, count in counts.items() if count > 300} == {}


def lines_of_code(path: Path) -> int:
    """Lines that hold code: without blank lines, comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                pass  # a docstring
            case ast.stmt() if not hasattr(node, "body"):
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                lines.update(range(node.lineno, node.body[0].lineno))
            case ast.stmt():
                lines.add(node.lineno)
    return len(lines)
