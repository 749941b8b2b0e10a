"""`map`: submit a call for each set of items, yield the results in their order."""

from __future__ import annotations

from collections import deque
from itertools import chain, islice
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from boundedjobs._core import Core
    from boundedjobs._job import Job

    # Submits one call, and may wait for room to do so if the flag says so; None, and nobody
    # has heard of it, if the runner is full.
    Offer = Callable[[tuple[Any, ...], bool], Job[Any] | None]


def results(
    core: Core,
    offer: Offer,
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    buffersize: int | None,
    *,
    may_wait: bool,
) -> Iterator[Any]:
    """Submit all now, or `buffersize`, or (unless `may_wait`) what there is room for.

    Yield the results; meanwhile, submit the rest.
    """
    deadline = None if timeout is None else monotonic() + timeout
    # Within a chain, for at its end `zip` would draw from the first iterable again if asked again.
    items = source = chain(zip(*iterables, strict=False))
    jobs: deque[Job[Any]] = deque()

    def submit(may_wait: bool) -> None:
        # What is drawn is submitted before the next is drawn; at most one is put back.
        nonlocal items
        if len(jobs) == buffersize:
            return
        for args in items:
            job = offer(args, may_wait)
            if job is None:
                items = chain([args], source)
                return
            jobs.append(job)
            if len(jobs) == buffersize:
                return

    def wait_for_room() -> None:
        # Others fill the runner, and this thread must not wait if that can't end.
        token = object()
        for args in islice(items, 1):
            try:
                core.begin_wait(token, None, "map()")
                jobs.append(offer(args, True))  # type: ignore[arg-type]  # a job: it waits
            finally:
                core.end_wait(token)

    def results_in_order() -> Iterator[Any]:
        try:
            while True:
                submit(False)
                if not jobs:
                    wait_for_room()
                if not jobs:
                    return
                result = [_result(core, jobs.popleft(), deadline)]
                submit(False)
                yield result.pop()  # and keep it no longer
        finally:
            for job in jobs:
                core.cancel(job, even_running=False)

    submit(may_wait)
    return results_in_order()


def _result(core: Core, job: Job[Any], deadline: float | None) -> Any:
    try:
        return job.result(None if deadline is None else deadline - monotonic())
    finally:
        core.cancel(job, even_running=False)  # a no-op unless the wait was cut off
        del job
