"""How many defects of one line the tests find: each is planted in a copy of the package in turn.

    python -m tests.mutants                 # every module
    python -m tests.mutants _admission      # some
    python -m tests.mutants --bounded       # those that CI has the time for, by their own tests alone

It fails when a mutant survives that `survivors.toml` does not list, or when that lists what is
killed, or is there no more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.making import KEY, Key, Mutant, functions, mutants
from tests.mutants.running import ROOT, Runs, Test, copy_project, module_of

SURVIVORS = Path(__file__).with_name("survivors.toml")
BOUNDED = ["_admission", "_status"]
"""The modules that CI tries."""

BATCHES = [0.5, 15.0]
"""Seconds that the tests take in all, as they are, that are tried first; then those that are tried
with a mutant which is known to survive. With any other, all are.
"""
HANGS = 6.0
"""How many times as long as it should a test may take: then it hangs, which counts as found."""


class Trial:
    """The mutants of one module, and the tests that they must fail."""

    def __init__(self, runs: Runs, module: str, tests: list[Test]) -> None:
        self.runs = runs
        self.module = module
        self.path = runs.folder / "boundedjobs" / f"{module}.py"
        self.source = self.path.read_text(encoding="utf-8")
        self.functions = functions(self.source)
        self.tests = [test for test in tests if module in test.lines]
        self.killers: dict[str, set[str]] = {}

    def tests_of(self, function: str, lines: range) -> Iterator[list[Test]]:
        """Batches of those that run one of the lines; else of the function; else of the module.

        First those that have killed another of that function, then the module's own; the quickest
        first.
        """
        inside = self.functions.get(function, range(0))
        chosen = self._that_run(lines if inside else inside) or self._that_run(inside) or self.tests
        killers, own = self.killers.get(function, set()), own_tests(self.module)
        left = sorted(
            chosen, key=lambda t: (t.id not in killers, not t.id.startswith(own), t.seconds)
        )
        for most in BATCHES:
            ends = accumulate(test.seconds for test in left)
            count = max(1, sum(end < most for end in ends))
            if left:
                yield left[:count]
            del left[:count]
        if left:
            yield left

    def _that_run(self, lines: range) -> list[Test]:
        return [test for test in self.tests if not {*lines}.isdisjoint(test.lines[self.module])]

    def check(self) -> None:
        """Without a mutant, the tests that are tried first pass."""
        chosen = [
            next(self.tests_of(*each), []) for each in [("", range(0)), *self.functions.items()]
        ]
        tests = {test.id: test for some in chosen for test in some}.values()
        if not tests or not self.runs.passes(tests, hangs=60):
            raise SystemExit(f"{self.runs.output.read_text()}\n{self.module}: not without a mutant")

    def survives(self, mutant: Mutant, *, is_known: bool) -> bool:
        """Whether no test fails with it; not all are tried if it is known to."""
        batches = self.tests_of(mutant.function, mutant.lines)
        try:
            self.path.write_text(mutant.code, encoding="utf-8")
            for cached in self.path.parent.glob(f"__pycache__/{self.path.stem}.*"):
                cached.unlink()
            for some in islice(batches, len(BATCHES) if is_known else None):
                if not self.runs.passes(some, hangs=HANGS):
                    self.killers.setdefault(mutant.function, set()).add(self.runs.last)
                    return False
        finally:
            self.path.write_text(self.source, encoding="utf-8")
        return True


def own_tests(module: str) -> str:
    """The file that mirrors it, if there is one."""
    return f"tests/test_{module.rpartition('/')[2].strip('_')}.py"


def listed() -> Counter[Key]:
    """The survivors that are known, each with a reason, and in code that is there."""
    entries = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["survivor"]
    for entry in entries:
        assert entry["why"], entry
        source = (ROOT / "boundedjobs" / f"{entry['module']}.py").read_text(encoding="utf-8")
        if entry["before"] not in " ".join(source.split()):
            raise SystemExit(f"{SURVIVORS.name} lists what is there no more:\n{entry}")
    return Counter(tuple(entry[name] for name in KEY) for entry in entries)


def shown(key: Key, remark: str) -> None:
    """Print it as it stands in the list, but for the reason."""
    print(f"# {remark}\n[[survivor]]")
    for name, value in zip(KEY, key, strict=True):
        print(f"{name} = {json.dumps(value)}")  # which is TOML as well
    print(flush=True)


def run(trial: Trial, known: Counter[Key]) -> tuple[Counter[str], bool]:
    """Try all mutants of a module: the figures, and whether the list is right."""
    every = [*mutants(trial.module, trial.source)]
    left = Counter({key: count for key, count in known.items() if key[0] == trial.module})
    figures = Counter(mutants=len(every), killed=0)
    figures.update({"of them hung": 0, "listed": 0, "unlisted": 0})
    if every:
        trial.check()
    for mutant in every:
        if not trial.survives(mutant, is_known=bool(left[mutant.key])):
            figures["killed"] += 1
            figures["of them hung"] += trial.runs.hung
        elif left[mutant.key]:
            left[mutant.key] -= 1
            figures["listed"] += 1
        else:
            figures["unlisted"] += 1
            shown(mutant.key, "survives, and is not in the list:")
    for key in left.elements():
        shown(key, "is in the list, but is killed, or no mutant:")
    return figures, not figures["unlisted"] and not left.total()


def told(name: str, figures: Counter[str]) -> None:
    """Print the figures of a module, or of all."""
    percent = 100 * figures["killed"] / max(figures["mutants"], 1)
    parts = ", ".join(f"{count} {what}" for what, count in figures.items())
    print(f"{name}: {parts}; {percent:.1f} % killed", flush=True)


def main() -> int:
    """Whether all is as the list has it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--bounded", action="store_true")
    options = parser.parse_args()
    every = sorted(map(module_of, (ROOT / "boundedjobs").rglob("*.py")))
    files = sorted(f"tests/{path.name}" for path in (ROOT / "tests").glob("test_*.py"))
    files.remove("tests/test_planted_defects.py")  # it looks at the text of what it replaces
    modules = options.modules or (BOUNDED if options.bounded else every)
    total, right, known = Counter[str](), True, listed()
    with TemporaryDirectory() as folder:
        copy_project(Path(folder))
        runs = Runs(Path(folder))
        if options.bounded:
            files = [file for file in files if file in map(own_tests, modules)]
        runs.collect(files)
        tests = [test for file in files for test in runs.measure(file)]
        for module in modules:
            figures, is_right = run(Trial(runs, module, tests), known)
            told(module, figures)
            total.update(figures)
            right = right and is_right
    told("all", total)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
