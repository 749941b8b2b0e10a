"""The line between a runner and the workers of a Dask cluster: by way of its scheduler.

The workers may be on other machines, and reach the scheduler alone. What bodies report are events
of a topic that the client of the runner's executor subscribes to; what workers ask are flags that
the scheduler keeps (`distributed.Event`), two for a call at the most.
"""

from __future__ import annotations

from asyncio import gather
from contextlib import suppress
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from boundedjobs._event import Progress
from boundedjobs._failure import attempt

if TYPE_CHECKING:
    from boundedjobs._line import Call

_LINGERING = 1.0
"""Seconds after which the scheduler forgets the flags of a call that is over."""


def _flag(topic: str, word: str, number: int) -> str:
    return f"{topic}-{number}-{word}"


class DaskBoard:
    """The runner's end."""

    kind = "dask"

    def __init__(self, executor: Any) -> None:
        self._client = executor._client
        self.address = f"boundedjobs-{token_hex(8)}"  # a topic
        self._calls: dict[int, Call] = {}
        self._client.subscribe_topic(self.address, self._hear)

    def expect(self, number: int, call: Call) -> None:
        """A call has that number from now on."""
        self._calls[number] = call

    def forget(self, number: int) -> None:
        """A call is over."""
        self._calls.pop(number, None)
        # Not at once: until the scheduler has heard that nobody wants the outcome any more, it has
        # a task that is done made once more if the worker dies that holds the outcome.
        clear = partial(self._clear, number)
        attempt(self._on_loop, self._client.loop.call_later, _LINGERING, clear)

    def stop(self, number: int) -> None:
        """A job has been asked to stop."""
        name = _flag(self.address, "stop", number)
        attempt(self._on_loop, partial(self._client.scheduler.event_set, name=name))

    def close(self) -> None:
        """Hear nothing any more."""
        attempt(self._client.unsubscribe_topic, self.address)

    def _on_loop(self, fn: Any, *args: Any) -> None:
        self._client.loop.add_callback(fn, *args)

    async def _clear(self, number: int) -> None:
        scheduler = self._client.scheduler
        names = [_flag(self.address, word, number) for word in ("begun", "stop")]
        await gather(*(scheduler.event_clear(name=each) for each in names), return_exceptions=True)

    def _hear(self, event: tuple[float, Any]) -> None:
        number, *progress = event[1]
        with suppress(KeyError):  # of a thread, say, that its body has left behind
            self._calls[number].heard(Progress(*progress))


class DaskLine:
    """A worker's end."""

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self._topic = topic
        self._worker = get_worker()

    def begin(self, number: int) -> bool:
        """Whether the body of that call is to run: not if its job was asked to stop, or it has run.

        Dask runs a call once more whose worker dies, and says nothing.
        """
        return bool(self._sync(self._begin, number))

    def end(self, number: int) -> None:
        """Nothing is to be waited for: the outcome goes the same way as what was reported."""

    def is_asked_to_stop(self, number: int) -> bool:
        """Whether that job has been asked to stop."""
        return bool(self._sync(self._is_set, "stop", number))

    def report(self, number: int, progress: Progress) -> None:
        """Pass on what a body reports."""
        self._worker.log_event(self._topic, [number, progress.fraction, progress.message])

    async def _begin(self, number: int) -> bool:
        if any(await gather(self._is_set("begun", number), self._is_set("stop", number))):
            return False
        name = _flag(self._topic, "begun", number)
        await self._worker.scheduler.event_set(name=name)
        return True

    async def _is_set(self, word: str, number: int) -> Any:
        return await self._worker.scheduler.event_is_set(name=_flag(self._topic, word, number))

    def _sync(self, fn: Any, *args: Any) -> Any:
        from distributed.utils import sync

        return sync(self._worker.loop, fn, *args)
