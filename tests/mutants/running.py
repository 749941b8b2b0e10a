"""Runs tests in forks of this process, which has imported what is slow to import, and no code of ours.

A fork is what makes a mutant cheap: it starts in 20 ms where a new Python takes a second.
"""

from __future__ import annotations

import _thread
import hashlib
import json
import os
import select
import shutil
import signal
import sys
import threading
import traceback
from _thread import start_new_thread
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import hypothesis.stateful  # noqa: F401 - slow to import
import pytest

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".mutants"
"""Which test runs which line, by test file; made anew when that file or the package changes."""
ENDED = -signal.SIGKILL
ALWAYS = ["-q", "-p", "no:cacheprovider", "-n0", "--hypothesis-seed=0"]
ALWAYS += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]


class Test(NamedTuple):
    """A test, how long it took under coverage, and the lines of the package that it ran."""

    id: str
    seconds: float
    lines: dict[str, list[int]]


class Watch:
    """A plugin: notes which test runs, how long it takes, and which lines; and bounds that."""

    def __init__(
        self,
        note: Path,
        *,
        measured: coverage.Coverage | None = None,
        bounds: Mapping[str, float] | None = None,
    ) -> None:
        self.note = note
        self.measured = measured
        self.bounds = bounds or {}
        self.seconds: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if item.nodeid in self.bounds:
                # A fixture that others share takes what it takes.
                bound = pytest.mark.timeout(self.bounds[item.nodeid], func_only=True)
                item.add_marker(bound, append=False)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.note.write_text(nodeid)
        if self.measured is not None:
            self.measured.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


def copy_project(into: Path) -> None:
    """What the tests need, for each run changes it."""
    for name in ("boundedjobs", "examples", "tests"):
        shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", into)


class Runs:
    """Runs of tests in a copy of the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.note, self.output = folder / "note", folder / "output"
        self.hung = False  # and not failed: the last run

    def collect(self, files: Iterable[str]) -> None:
        """Have all compiled and rewritten once, for all runs that follow."""
        arguments = ["--collect-only", *files]
        if self._fork(lambda: pytest.main([*ALWAYS, *arguments]), 300) != 0:
            raise SystemExit(self.output.read_text())

    def passes(self, tests: Collection[Test], *, hangs: float) -> bool:
        """Whether all pass; one that takes `hangs` times as long as it should, and 3 s more, hangs."""
        bounds = {test.id: 3 + hangs * test.seconds for test in tests}

        def run() -> int:
            sys.dont_write_bytecode = True  # of a mutant
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            return pytest.main([*ALWAYS, "-x", *bounds], [Watch(self.note, bounds=bounds)])

        # A fixture that hangs is in none of the bounds.
        code = self._fork(run, 60 + hangs * sum(test.seconds for test in tests))
        self.hung = code == ENDED or "+ Timeout +" in self.output.read_text(errors="replace")
        return code == 0

    @property
    def last(self) -> str:
        """The test that ran last: that failed, if one has."""
        return self.note.read_text()

    def measure(self, file: str) -> list[Test]:
        """Which lines the tests of a file run, in this process and in those that they start.

        Of a file whose tests are all for the proof in full, none.
        """
        kept = KEPT / f"{self._fingerprint(file)}.json"
        if not kept.exists():
            KEPT.mkdir(exist_ok=True)
            made = self.folder / "measured.json"
            code = self._fork(lambda: self._measure(file, made), 1_200)
            if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                raise SystemExit(f"{self.output.read_text()}\n{file} fails as it is")
            shutil.copy(made, kept)
        return [Test(*entry) for entry in json.loads(kept.read_text())]

    def _fingerprint(self, file: str) -> str:
        seen = hashlib.sha256(sys.version.encode())
        for path in [self.folder / file, *sorted((self.folder / "boundedjobs").rglob("*.py"))]:
            seen.update(path.read_bytes())
        return f"{Path(file).stem}-{seen.hexdigest()[:16]}"

    def _measure(self, file: str, made: Path) -> int:
        data, settings = self.folder / "coverage" / "data", self.folder / "coverage.ini"
        options = {"source_pkgs": "boundedjobs", "parallel": "true", "data_file": str(data)}
        options["context"] = "${PYTEST_CURRENT_TEST-}"
        options["core"] = "ctrace"  # the one that knows contexts on every Python
        if file == "tests/test_fork.py":  # in others, workers of multiprocessing hang with it
            options["patch"] = "fork, _exit"
        os.environ.pop("COVERAGE_FILE", None)  # it would go before `data_file`
        lines = [f"{key} = {value}" for key, value in options.items()]
        settings.write_text("\n".join(["[run]", *lines, ""]))
        os.environ["COVERAGE_PROCESS_START"] = str(settings)  # for processes that tests start
        measured = coverage.Coverage(config_file=str(settings))
        measured.set_option("run:patch", [])  # a fork of this very process may hang in it
        watch = Watch(self.note, measured=measured)
        _thread.start_new_thread = _traced  # type: ignore[assignment]
        with measured.collect():
            code = pytest.main([*ALWAYS, file], [watch])
        measured.save()
        del os.environ["COVERAGE_PROCESS_START"]
        measured.combine([str(data.parent)])
        found: dict[str, dict[str, list[int]]] = {}
        for path in measured.get_data().measured_files():
            module = module_of(path)
            for line, contexts in measured.get_data().contexts_by_lineno(path).items():
                for context in contexts:
                    found.setdefault(_test_of(context), {}).setdefault(module, []).append(line)
        tests = [(id_, s, found[id_]) for id_, s in watch.seconds.items() if id_ in found]
        made.write_text(json.dumps(tests))
        shutil.rmtree(data.parent)
        return code

    def _fork(self, run: Callable[[], int], seconds: float) -> int:
        """What it returns, in a process group of its own, of which nothing is left."""
        child = os.fork()
        if child == 0:
            code = 99
            try:
                self._be_a_fresh_process()
                code = int(run())
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        try:
            ended, *_ = select.select([handle := os.pidfd_open(child)], [], [], seconds)
            os.close(handle)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        return os.waitstatus_to_exitcode(status) if ended else ENDED

    def _be_a_fresh_process(self) -> None:
        os.setsid()
        sys.dont_write_bytecode = False
        # What a shell starts in the background ignores it, and the tests have need of it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(self.folder)
        sys.path[:0] = [str(self.folder)]
        os.environ["PYTHONPATH"] = str(self.folder)
        output = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        for name in [
            name for name in sys.modules if name.partition(".")[0] in ("tests", "boundedjobs")
        ]:
            del sys.modules[name]


def _traced(fn: Callable[..., object], args: tuple[Any, ...]) -> int:
    """A thread as the package starts it where `threading.Thread` would not do; as that, traced."""

    def run() -> None:
        sys.settrace(threading.gettrace())
        fn(*args)

    return start_new_thread(run, ())


def module_of(path: str | Path) -> str:
    """`_lanes/_threads`, of its file anywhere."""
    return str(path).rpartition("boundedjobs/")[2].removesuffix(".py")


def _test_of(context: str) -> str:
    """Of a context as pytest has it, with the phase behind the test, or as `Watch` has it."""
    name = context.rpartition("|")[2] or context.partition("|")[0]
    for phase in (" (setup)", " (call)", " (teardown)"):
        name = name.removesuffix(phase)
    return name
