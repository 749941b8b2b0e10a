"""The wheel: what is in it, and that a plain script far from the checkout can use it."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "COVERAGE_")) and name != "VIRTUAL_ENV"
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without asking any package registry."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_its_marker_of_types_its_licence_and_nothing_else(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = "boundedjobs-0.1.0.dist-info"
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "boundedjobs").rglob("*.py")}
    assert names == sources | {
        "boundedjobs/py.typed",
        f"{info}/METADATA",
        f"{info}/RECORD",
        f"{info}/WHEEL",
        f"{info}/licenses/LICENSE",
    }


def test_the_wheel_works_in_an_empty_environment_outside_the_checkout(
    wheel: Path, tmp_path: Path
) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    venv.create(tmp_path / "venv")
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-index",
        wheel,
        cwd=tmp_path,
    )

    script = tmp_path / "script.py"
    script.write_text(
        """
import asyncio
import boundedjobs
from boundedjobs import BoundedRunner

async def double(number):
    return 2 * number

with BoundedRunner(2, on_status=lambda event: print(event.status.value)) as runner:
    job = runner.submit(divmod, 7, 0)
    assert "ZeroDivisionError" in job.exception(timeout=20).__class__.__name__
    assert runner.submit(double, 21).result(timeout=20) == 42
print(boundedjobs.__file__)
""",
        encoding="utf-8",
    )
    *statuses, place = run(python, "-W", "error", script, cwd=tmp_path).splitlines()
    assert statuses == ["pending", "running", "failed", "pending", "running", "succeeded"]
    assert Path(place).is_relative_to(tmp_path / "venv")
