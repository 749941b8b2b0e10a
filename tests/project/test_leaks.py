"""What `tests/conftest.py` holds every test to is really held."""

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_what_outlives_its_test_makes_it_fail_and_nothing_else_does(tmp_path: Path) -> None:
    impatient = CONFTEST.replace("PATIENCE = 5.0", "PATIENCE = 0.2")
    assert impatient != CONFTEST
    (tmp_path / "conftest.py").write_text(impatient, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(LEAKS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "1000"},  # whole messages
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    found = re.findall(r"^ERROR \S+::test_(\w+) - AssertionError: (.*)", done.stdout, re.MULTILINE)
    assert [name for name, _ in found] == ["thread", "bare_thread", "loop", "task"], done.stdout
    thread, bare_thread, loop, task = (complaint for _, complaint in found)
    assert thread.startswith("<Thread(")
    assert thread.endswith("outlived its test")
    assert bare_thread.startswith("bare threads outlived their test: {")
    assert loop.startswith("<_UnixSelectorEventLoop")
    assert loop.endswith("outlived its test")
    assert task.startswith("tasks outlived their test: {<Task pending")
