"""A pool whose slots are all held, so that whatever is submitted stays pending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Barrier, Event

from tests.benchmarks.pools import DEADLINE, Pool, Submit


@contextmanager
def full(
    pool: Pool, limit: int, then: Callable[[], None] = lambda: None
) -> Iterator[tuple[Submit, Callable[[], None]]]:
    """Open a pool and fill its slots; yield its `submit`, and what lets the slots go.

    `then` is called on each worker when its slot is let go.
    """
    arrived = Barrier(limit + 1)
    gate = Event()

    def hold() -> None:
        arrived.wait(DEADLINE)
        assert gate.wait(DEADLINE), "nobody has opened the gate"
        then()

    with pool.open(limit) as submit:
        held = [submit(hold) for _ in range(limit)]
        try:
            arrived.wait(DEADLINE)
            yield submit, gate.set
        finally:
            gate.set()
        for job in held:
            job.result()
