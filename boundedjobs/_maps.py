"""`map`: submit a call for each set of items, yield the results in their order."""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from boundedjobs._core import Core
    from boundedjobs._job import Job


class Offer(Protocol):
    """Submits one call; returns None, and nobody has heard of it, if the runner is full."""

    def __call__(self, args: tuple[Any, ...], *, may_wait: bool) -> Job[Any] | None: ...


def results(
    core: Core,
    offer: Offer,
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    *,
    may_wait: bool,
) -> Iterator[Any]:
    """Submit all now, or (unless `may_wait`) what there is room for; yield the results."""
    deadline = None if timeout is None else monotonic() + timeout
    # What is drawn is submitted before the next is drawn; at most one is held.
    items = zip(*iterables, strict=False)
    held: deque[tuple[Any, ...]] = deque()
    jobs: deque[Job[Any]] = deque()
    submit = partial(_submit_some, offer, items, held, jobs)
    submit(may_wait=may_wait)
    return _yield_results(core, offer, submit, held, jobs, deadline)


def _submit_some(
    offer: Offer,
    items: Iterator[tuple[Any, ...]],
    held: deque[tuple[Any, ...]],
    jobs: deque[Job[Any]],
    *,
    may_wait: bool,
) -> None:
    while True:
        if not held:
            held.extend(islice(items, 1))
        job = offer(held[0], may_wait=may_wait) if held else None
        if job is None:
            return
        jobs.append(job)
        held.clear()


def _yield_results(
    core: Core,
    offer: Offer,
    submit: Callable[..., None],
    held: deque[tuple[Any, ...]],
    jobs: deque[Job[Any]],
    deadline: float | None,
) -> Iterator[Any]:
    try:
        while jobs or held:
            if not jobs:
                # Others fill the runner, and this thread must not wait if that can't end.
                token = object()
                try:
                    core.begin_wait(token, None, "map()")
                    job = offer(held.popleft(), may_wait=True)
                finally:
                    core.end_wait(token)
                assert job is not None
                jobs.append(job)
                del job
            yield _result(jobs.popleft(), deadline)
            submit(may_wait=False)
    finally:
        for job in jobs:
            job.cancel()


def _result(job: Job[Any], deadline: float | None) -> Any:
    try:
        return job.result(None if deadline is None else deadline - monotonic())
    finally:
        job.cancel()  # as the standard library: a no-op unless the wait has timed out
        del job
