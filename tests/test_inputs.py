"""Every public parameter: what is refused, and in what words.

`WRONG` is to be read: whatever is handed in there raises, with that very text. `ANYTHING` says why
the other parameters refuse nothing. A parameter that is in neither fails a test.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from typing import TYPE_CHECKING, Any

import pytest

import boundedjobs
from boundedjobs import BoundedRunner, Job, NotRunnable, Progress
from boundedjobs.live import live
from tests.gates import TIMEOUT, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> Any:
    yield 1


Row = tuple[Any, type[Exception], str]
NAN = math.nan

# Rules that several parameters have.


def whole(name: str, least: int) -> list[Row]:
    return [
        (least - 1, ValueError, f"{name} must be at least {least}, got {least - 1}"),
        (-3, ValueError, f"{name} must be at least {least}, got -3"),
        (True, TypeError, f"{name} must be an int, got True"),
        (2.0, TypeError, f"{name} must be an int, got 2.0"),
        (math.inf, TypeError, f"{name} must be an int, got inf"),
        ("2", TypeError, f"{name} must be an int, got '2'"),
    ]


def number(name: str) -> list[Row]:
    return [
        ("5", TypeError, f"{name} must be a number of seconds or None, got '5'"),
        (True, TypeError, f"{name} must be a number of seconds or None, got True"),
        ([1], TypeError, f"{name} must be a number of seconds or None, got [1]"),
        (1j, TypeError, f"{name} must be a number of seconds or None, got 1j"),
    ]


def offset(name: str) -> list[Row]:
    return [*number(name), (NAN, ValueError, f"{name} must be a number of seconds, got nan")]


def seconds(name: str) -> list[Row]:
    return [
        *number(name),
        (-0.5, ValueError, f"{name} must be at least 0 seconds, got -0.5"),
        (-math.inf, ValueError, f"{name} must be at least 0 seconds, got -inf"),
        (NAN, ValueError, f"{name} must be at least 0 seconds, got nan"),
    ]


def duration(name: str) -> list[Row]:
    return [
        *number(name),
        (0, ValueError, f"{name} must be more than 0 seconds, got 0"),
        (-1, ValueError, f"{name} must be more than 0 seconds, got -1"),
        (NAN, ValueError, f"{name} must be more than 0 seconds, got nan"),
    ]


def text() -> list[Row]:
    return [
        ("", ValueError, "name must not be empty, got ''"),
        (3, TypeError, "name must be a string, got 3"),
        (b"x", TypeError, "name must be a string, got b'x'"),
    ]


def listeners(name: str) -> list[Row]:
    rule = f"{name} must be a callable that takes one JobEvent, or several of them"
    return [
        (3, TypeError, f"{rule}, got 3"),
        (1.5, TypeError, f"{rule}, got 1.5"),
        ("print", TypeError, f"{rule}, got 'print'"),
        ([print, "print"], TypeError, f"{rule}, got 'print'"),
        ({"a": print}, TypeError, f"{rule}, got {{'a': {print!r}}}"),
        (generator, TypeError, f"{rule}, got 'generator'"),
        ([async_generator], TypeError, f"{rule}, got 'async_generator'"),
    ]


NO_LINE = (
    "it is a generator function: calling it would not run a line of it; "
    "pass a function that iterates over it"
)

UNRUNNABLE: list[Row] = [
    (None, NotRunnable, "'NoneType' can't be run: it is not callable"),
    (3, NotRunnable, "'int' can't be run: it is not callable"),
    (generator, NotRunnable, f"'generator' can't be run: {NO_LINE}"),
    (async_generator, NotRunnable, f"'async_generator' can't be run: {NO_LINE}"),
]

NOT_TO_RUN: list[Row] = [
    (3, TypeError, "fn must be a function to run, got 3: it is not callable"),
    (generator, TypeError, f"fn must be a function to run, got 'generator': {NO_LINE}"),
]

EXECUTOR = (
    "executor must be a concurrent.futures.Executor, or a callable without arguments that makes one"
)

WRONG: dict[str, list[Row]] = {
    "BoundedRunner(limit)": [
        *whole("limit", 1),
        (None, TypeError, "limit must be an int, got None"),
    ],
    "BoundedRunner(name)": text(),
    "BoundedRunner(max_pending)": whole("max_pending", 0),
    "BoundedRunner(when_full)": [
        ("block", ValueError, "when_full must be 'reject' or 'wait', got 'block'"),
        (None, TypeError, "when_full must be 'reject' or 'wait', got None"),
        (["wait"], TypeError, "when_full must be 'reject' or 'wait', got ['wait']"),
    ],
    "BoundedRunner(on_status)": listeners("on_status"),
    "BoundedRunner(on_progress)": listeners("on_progress"),
    "BoundedRunner(on_stuck)": listeners("on_stuck"),
    "BoundedRunner(timeout)": duration("timeout"),
    "BoundedRunner(stuck_after)": duration("stuck_after"),
    "BoundedRunner(stagger)": [
        *duration("stagger"),
        (math.inf, ValueError, "stagger must be a finite number of seconds, got inf"),
    ],
    "BoundedRunner(history)": [
        *whole("history", 0),
        (None, TypeError, "history must be an int, got None"),
    ],
    "BoundedRunner(drain_timeout)": seconds("drain_timeout"),
    "BoundedRunner(executor)": [
        (3, TypeError, f"{EXECUTOR}, got 3"),
        ("threads", TypeError, f"{EXECUTOR}, got 'threads'"),
        (generator, TypeError, f"{EXECUTOR}, got 'generator'"),
    ],
    "BoundedRunner.limit": [
        *whole("limit", 1),
        (None, TypeError, "limit must be an int, got None"),
    ],
    "BoundedRunner.submit(fn)": UNRUNNABLE,
    "BoundedRunner.wrap(fn)": [
        *NOT_TO_RUN,
        (
            classmethod(print),
            TypeError,
            "fn must be a function, got a classmethod: put @classmethod outside of @runner.wrap",
        ),
        (
            staticmethod(print),
            TypeError,
            "fn must be a function, got a staticmethod: put @staticmethod outside of @runner.wrap",
        ),
    ],
    "BoundedRunner.wrap(name)": text(),
    "BoundedRunner.wrap(on_status)": listeners("on_status"),
    "BoundedRunner.wrap(on_progress)": listeners("on_progress"),
    "BoundedRunner.wrap(on_stuck)": listeners("on_stuck"),
    "BoundedRunner.wrap(timeout)": duration("timeout"),
    "BoundedRunner.wrap(stuck_after)": duration("stuck_after"),
    "BoundedRunner.map(fn)": UNRUNNABLE,
    "BoundedRunner.map(iterables)": [(5, TypeError, "'int' object is not iterable")],
    "BoundedRunner.map(timeout)": offset("timeout"),
    "BoundedRunner.map(chunksize)": whole("chunksize", 1),
    "BoundedRunner.map(buffersize)": [  # in the words of the standard library
        (0, ValueError, "buffersize must be None or > 0"),
        ("1", TypeError, "buffersize must be an integer or None"),
    ],
    "BoundedRunner.as_completed(fn)": NOT_TO_RUN,
    "BoundedRunner.as_completed(iterables)": [(5, TypeError, "'int' object is not iterable")],
    "BoundedRunner.as_completed(buffersize)": whole("buffersize", 0),
    "BoundedRunner.snapshot(since)": [
        (7, TypeError, "since must be a Snapshot or None, got 7"),
    ],
    "BoundedRunner.get(job_id)": [
        (7, TypeError, "job_id must be a string, got 7"),
        (None, TypeError, "job_id must be a string, got None"),
    ],
    "BoundedRunner.shutdown(timeout)": seconds("timeout"),
    "BoundedRunner.aclose(timeout)": seconds("timeout"),
    "Job.result(timeout)": offset("timeout"),
    "Job.exception(timeout)": offset("timeout"),
    "Job.report(fraction)": [
        (1.01, ValueError, "fraction must be from 0 to 1, got 1.01"),
        (NAN, ValueError, "fraction must be from 0 to 1, got nan"),
        ("1", TypeError, "fraction must be a number from 0 to 1, got '1'"),
        (True, TypeError, "fraction must be a number from 0 to 1, got True"),
    ],
    "Job.report(message)": [
        (None, TypeError, "message must be a string, got None"),
        (b"x", TypeError, "message must be a string, got b'x'"),
    ],
    "Progress(fraction)": [
        (-1, ValueError, "fraction must be from 0 to 1, got -1"),
        (NAN, ValueError, "fraction must be from 0 to 1, got nan"),
        (None, TypeError, "fraction must be a number from 0 to 1, got None"),
    ],
    "Progress(message)": [(3, TypeError, "message must be a string, got 3")],
    "live(runner)": [
        (3, TypeError, "runner must be a BoundedRunner, got 3"),
        (None, TypeError, "runner must be a BoundedRunner, got None"),
    ],
    "live(console)": [
        (3, TypeError, "console must be a rich.console.Console or None, got 3"),
    ],
    "live(refresh_per_second)": [
        (True, TypeError, "refresh_per_second must be a number, got True"),
        ("4", TypeError, "refresh_per_second must be a number, got '4'"),
        (None, TypeError, "refresh_per_second must be a number, got None"),
        (0, ValueError, "refresh_per_second must be more than 0 and finite, got 0"),
        (-1, ValueError, "refresh_per_second must be more than 0 and finite, got -1"),
        (NAN, ValueError, "refresh_per_second must be more than 0 and finite, got nan"),
        (math.inf, ValueError, "refresh_per_second must be more than 0 and finite, got inf"),
    ],
}

ANYTHING: dict[str, str] = {
    "BoundedRunner.submit(args)": "what the callable is called with",
    "BoundedRunner.submit(kwargs)": "what the callable is called with",
    "BoundedRunner.shutdown(wait)": "asked for its truth, as by the standard library",
    "BoundedRunner.shutdown(cancel_futures)": "asked for its truth, as by the standard library",
    "BoundedRunner.aclose(cancel_futures)": "asked for its truth, as by `shutdown`",
    "BoundedRunner.lifespan(app)": "is not used",
    "Job.add_done_callback(fn)": "called, and that it can't be is logged, as by the standard library",
    "Job.set_result(result)": "refused whatever it is",
    "Job.set_exception(exception)": "refused whatever it is",
}

MADE_BY_CALLERS = {"BoundedRunner", "Progress", "live"}
"""Instances of the other classes come out of the runner."""


def public_parameters() -> Iterator[str]:
    """All of them, from the signatures."""
    modules = (boundedjobs, boundedjobs.live)
    for name, public in ((name, getattr(each, name)) for each in modules for name in each.__all__):
        if not inspect.isclass(public):
            yield from parameters(name, public)
            continue
        if name in MADE_BY_CALLERS:
            yield from parameters(name, public)
        for attribute in dir(public):
            found = inspect.getattr_static(public, attribute)
            if isinstance(found, property):
                if found.fset is not None:
                    yield f"{name}.{attribute}"
            elif not attribute.startswith("_") and inspect.isfunction(found):
                yield from parameters(f"{name}.{attribute}", found)


def parameters(of: str, function: Callable[..., Any]) -> Iterator[str]:
    for parameter in inspect.signature(function).parameters:
        if parameter != "self":
            yield f"{of}({parameter})"


def test_every_public_parameter_has_its_wrong_values_or_a_reason_to_have_none() -> None:
    public = set(public_parameters())
    assert len(public) > 30  # they are found at all
    assert public - WRONG.keys() - ANYTHING.keys() == set()
    assert WRONG.keys() & ANYTHING.keys() == set()
    assert (WRONG.keys() | ANYTHING.keys()) - public == set()


def give(runner: BoundedRunner, pending: Job[Any], to: str, parameter: str, value: Any) -> None:
    """Hand a value to a parameter, and nothing else that could be wrong."""
    kind, _, method = to.partition(".")
    owner: Any = runner if kind == "BoundedRunner" else pending
    given = {parameter: value}
    match to:
        case "BoundedRunner":
            BoundedRunner(**{"limit": 1, **given})
        case "BoundedRunner.limit":
            runner.limit = value
        case "BoundedRunner.submit" | "BoundedRunner.wrap" if parameter == "fn":
            getattr(owner, method)(value)  # by position alone
        case "BoundedRunner.map" | "BoundedRunner.as_completed":
            fn, items = given.pop("fn", int), given.pop("iterables", [1])
            list(getattr(owner, method)(fn, items, **given))
        case "BoundedRunner.aclose":
            asyncio.run(runner.aclose(**given))
        case "Job.report":
            pending.report(**{"fraction": 0.5, **given})
        case "Progress":
            Progress(**{"fraction": 0.5, **given})
        case "live":
            live(**{"runner": runner, **given})
        case _:
            getattr(owner, method)(**given)


@pytest.mark.parametrize("where", WRONG)
def test_a_wrong_value_is_named_with_its_parameter_and_rule(where: str) -> None:
    to, _, parameter = where.rstrip(")").partition("(")
    gate = Gate()
    with BoundedRunner(1) as runner:
        runner.submit(gate)
        pending = runner.submit(int)
        try:
            for value, error, message in WRONG[where]:
                with pytest.raises(Exception) as caught:
                    give(runner, pending, to, parameter, value)
                assert (type(caught.value), str(caught.value)) == (error, message)
        finally:
            gate.open()
        assert pending.result(TIMEOUT) == 0
        assert runner.submit(int).result(TIMEOUT) == 0  # and nothing has come of it


def test_the_values_at_the_edge_of_a_rule_are_taken() -> None:
    values: list[dict[str, Any]] = [
        {"limit": 10**6},
        {"max_pending": 0},
        {"max_pending": 10**12},
        {"history": 0},
        {"history": 10**12},
        {"drain_timeout": 0},
        {"drain_timeout": math.inf},
        {"drain_timeout": 0.001},
        {"stagger": threading.TIMEOUT_MAX},
        {"timeout": threading.TIMEOUT_MAX},
        {"on_status": []},
        {"on_status": (print, print)},
        {"on_status": iter([print])},
        {"on_progress": None},
        {"when_full": "wait", "max_pending": None},
        {"name": "contents of 8 m²"},
    ]
    for given in values:
        with BoundedRunner(**{"limit": 1, **given}) as runner:
            assert runner.limit == given.get("limit", 1)
            assert runner.name == given.get("name", "runner")
