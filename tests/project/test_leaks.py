"""What `tests/conftest.py` holds every test to is really held."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parents[1] / "conftest.py").read_text(encoding="utf-8")

LEAKS = """
import _thread, asyncio, threading

held = []

def test_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def test_bare_thread():
    begun = threading.Event()
    _thread.start_new_thread(lambda: [begun.set(), threading.Event().wait()], ())
    assert begun.wait(9)

def test_loop():
    held.append(asyncio.new_event_loop())

def test_task():
    loop = asyncio.new_event_loop()
    held.append(loop.create_task(asyncio.sleep(9)))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

def test_nothing():
    asyncio.run(asyncio.sleep(0))
    thread = threading.Thread(target=int)
    thread.start()
"""


CTRL_C = """
import signal, subprocess, sys
import pytest

def test_here():
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)

def test_in_a_child():
    code = "import signal; signal.raise_signal(signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGINT
"""


def run(tests: str, folder: Path, *before: str) -> str:
    """Have tests run under that conftest; return what is printed."""
    impatient = CONFTEST.replace("PATIENCE = 5.0", "PATIENCE = 0.2")
    assert impatient != CONFTEST
    (folder / "conftest.py").write_text(impatient, encoding="utf-8")
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null"]
    done = subprocess.run(
        [*before, *command, "test_it.py"],
        cwd=folder,
        env={**os.environ, "COLUMNS": "1000"},  # whole messages
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout


@pytest.mark.skipif(os.name == "nt", reason="it is a POSIX shell that has Ctrl-C ignored")
def test_ctrl_c_is_heard_in_tests_that_a_shell_has_started_in_the_background(
    tmp_path: Path,
) -> None:
    in_background = ["sh", "-c", 'trap "" INT && exec "$@"', "sh"]
    assert re.search(r"= 2 passed in ", run(CTRL_C, tmp_path, *in_background))


def test_what_outlives_its_test_makes_it_fail_and_nothing_else_does(tmp_path: Path) -> None:
    printed = run(LEAKS, tmp_path)
    found = re.findall(r"^ERROR \S+::test_(\w+) - AssertionError: (.*)", printed, re.MULTILINE)
    assert [name for name, _ in found] == ["thread", "bare_thread", "loop", "task"], printed
    thread, bare_thread, loop, task = (complaint for _, complaint in found)
    assert thread.startswith("<Thread(")
    assert thread.endswith("outlived its test")
    assert bare_thread.startswith("bare threads outlived their test: {")
    assert loop.startswith("<_UnixSelectorEventLoop")
    assert loop.endswith("outlived its test")
    assert task.startswith("tasks outlived their test: {<Task pending")
