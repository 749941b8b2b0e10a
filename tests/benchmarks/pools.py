"""Who runs sync jobs: each opened with a limit, in the same way, to the same kind of `submit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from boundedjobs import BoundedRunner, JobEvent
from tests.benchmarks.contest import OURS, Contender

STANDARD = "ThreadPoolExecutor"

DEADLINE = 300.0
"""Seconds after which what is waited for in vain, outside of what is timed, is an error."""


class Submit(Protocol):
    """Hands in a callable without arguments."""

    def __call__(self, fn: Callable[[], Any], /) -> Future[Any]: ...


@dataclass(frozen=True, slots=True)
class Pool:
    """A contender for sync jobs; `open` takes the limit."""

    name: str
    open: Callable[[int], AbstractContextManager[Submit]]
    needs: str | None = None


@contextmanager
def _ours(limit: int) -> Iterator[Submit]:
    with BoundedRunner(limit) as runner:
        yield runner.submit


@contextmanager
def _ours_heard(limit: int) -> Iterator[Submit]:
    heard: list[str] = []

    def hear(event: JobEvent) -> None:
        heard.append(event.status.value)

    with BoundedRunner(limit, on_status=hear) as runner:
        yield runner.submit
    assert heard, "nothing was heard"
    assert len(heard) % 3 == 0, "each job tells of three steps"


@contextmanager
def _standard(limit: int) -> Iterator[Submit]:
    with ThreadPoolExecutor(limit) as pool:
        yield pool.submit


@contextmanager
def _pebble(limit: int) -> Iterator[Submit]:
    from pebble import ThreadPool

    pool: Any = ThreadPool(max_workers=limit)  # typed, save for how it is closed
    try:
        yield pool.schedule
    finally:
        pool.close()
        pool.join(DEADLINE)


ours = Pool(OURS, _ours)
ours_heard = Pool(OURS, _ours_heard)
standard = Pool(STANDARD, _standard)
pebble = Pool("pebble.ThreadPool", _pebble, needs="pebble")


def contenders(measure: Callable[[Pool, int], dict[str, float]], *pools: Pool) -> list[Contender]:
    """Those pools, all measured by the same function."""
    return [Contender(pool.name, partial(measure, pool), pool.needs) for pool in pools]
