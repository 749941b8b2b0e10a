"""`as_completed`: an iterator over jobs, each when it has ended."""

from __future__ import annotations

from _thread import get_ident, start_new_thread
from functools import partial
from operator import length_hint
from typing import TYPE_CHECKING, Generic, Self, TypeVar
from weakref import finalize

from boundedjobs._flight import Flight, Turn
from boundedjobs._future import Alarm
from boundedjobs._latch import Latch

if TYPE_CHECKING:
    from boundedjobs._job import Job

T = TypeVar("T")


class AsCompleted(Generic[T]):
    """Yields jobs as they end: an iterator, for `for` and for `async for`.

    Made by `BoundedRunner.as_completed`. Leaving a `with` (or `async with`) of it, closing it or
    dropping it cancels those of its jobs that have not started; what runs goes on, and is not
    yielded any more. A Ctrl-C, the cancellation of a task, or the end of a stack loses none:
    whoever goes on to iterate gets all of them.

    All methods may be called from any thread, and several threads and tasks may iterate over one
    object: each job is yielded to one of them, and one at a time reads the inputs.
    """

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        finalize(self, flight.close)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Job[T]:
        flight = self._flight
        turn = Turn(flight)
        try:
            while not turn.take():
                latch = Latch()
                if turn.sleep(latch, latch.set, "'for' over as_completed()"):
                    latch.wait()
                turn.wake()
            turn.end()
        except BaseException:
            try:
                # What it has taken is for the next one. Written out: a call could be cut off.
                with flight.core.lock:  # a quick one
                    if turn.taken is not None:
                        job, arrival = turn.taken
                        flight.jobs[job] = arrival
                        flight.landed[job] = None
                    if turn.error is not None:
                        flight.error = turn.error
                turn.give_up()
            except BaseException:  # noqa: BLE001 - what is raised is the first one
                # As after a `submit`.
                start_new_thread(turn.give_up_elsewhere, (get_ident(),))
            raise
        finally:
            self = None  # type: ignore[assignment]  # a raised traceback refers to this frame
        # Written out, here and in `__anext__`: in a call, a Ctrl-C could lose what has been taken.
        taken, error, turn.error = turn.taken, turn.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        if taken is None:
            raise StopIteration
        return taken[0]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Job[T]:
        from asyncio import sleep

        flight = self._flight
        turn = Turn(flight)
        try:
            if flight.landed:
                await sleep(0)  # however fast jobs end, the loop gets on with other tasks
            while not turn.take():
                alarm = Alarm()
                if turn.sleep(alarm, partial(flight.core.todo.add, alarm.set), "await"):
                    await alarm.rings
                turn.wake()
            turn.end()
        except BaseException:
            try:
                # What it has taken is for the next one. Written out: a call could be cut off.
                with flight.core.lock:  # a quick one
                    if turn.taken is not None:
                        job, arrival = turn.taken
                        flight.jobs[job] = arrival
                        flight.landed[job] = None
                    if turn.error is not None:
                        flight.error = turn.error
                turn.give_up()
            except BaseException:  # noqa: BLE001 - what is raised is the first one
                # As after a `submit`.
                start_new_thread(turn.give_up_elsewhere, (get_ident(),))
            raise
        finally:
            self = None  # type: ignore[assignment]  # a raised traceback refers to this frame
        taken, error, turn.error = turn.taken, turn.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        if taken is None:
            raise StopAsyncIteration
        return taken[0]

    def close(self) -> None:
        """Cancel what has not started, and yield no more. May be called again."""
        self._flight.close()

    async def aclose(self) -> None:
        """Do what `close` does."""
        self._flight.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flight.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._flight.close()

    def __bool__(self) -> bool:
        return True  # as any iterator, however many are still to come

    def __len__(self) -> int:
        """How many jobs are still to come, if each input has a length.

        Raises:
            TypeError: an input has none.
        """
        flight = self._flight
        left, inputs = 0, flight.inputs
        if inputs:
            lengths = map(len, inputs)  # type: ignore[arg-type]  # or TypeError
            left = max(0, min(lengths) - flight.count)
        return left + len(flight.jobs)

    def __length_hint__(self) -> int:
        """How many jobs are still to come, as far as the inputs can tell."""
        flight = self._flight
        if flight.source is None:
            return len(flight.jobs)
        hints = [hint for each in flight.iterators if (hint := length_hint(each, -1)) >= 0]
        return min(hints) + len(flight.jobs) if hints else NotImplemented
