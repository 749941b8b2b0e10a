"""What `tests/conftest.py` holds every test to is really held."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

CONFTEST = (Path(__file__).parents[1] / "conftest.py").read_text(encoding="utf-8")
HELD = "import _thread, asyncio, threading\nheld = []\n"


@pytest.mark.parametrize(
    ("leak", "complaint"),
    [
        (
            "threading.Thread(target=threading.Event().wait, daemon=True).start()",
            "outlived its test",
        ),
        (
            """
            begun = threading.Event()
            _thread.start_new_thread(lambda: [begun.set(), threading.Event().wait()], ())
            assert begun.wait(9)
            """,
            "bare threads outlived",
        ),
        ("held.append(asyncio.new_event_loop())", "outlived its test"),
        (
            """
            loop = asyncio.new_event_loop()
            held.append(loop.create_task(asyncio.sleep(9)))
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            """,
            "tasks outlived their test",
        ),
        ("asyncio.run(asyncio.sleep(0))", ""),
    ],
    ids=["thread", "bare_thread", "loop", "task", "nothing"],
)
def test_what_outlives_its_test_makes_it_fail(tmp_path: Path, leak: str, complaint: str) -> None:
    impatient = CONFTEST.replace("PATIENCE = 5.0", "PATIENCE = 0.2")
    assert impatient != CONFTEST
    (tmp_path / "conftest.py").write_text(impatient, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(
        f"{HELD}\ndef test_it():\n"
        + "".join(f"    {line}\n" for line in dedent(leak).splitlines()),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "test_it.py"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == (1 if complaint else 0), done.stdout + done.stderr
    assert complaint in done.stdout
