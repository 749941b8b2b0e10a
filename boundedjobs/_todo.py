"""What is decided under the lock of a runner, and done when it is free."""

from __future__ import annotations

from _thread import start_new_thread
from collections import deque
from contextlib import suppress
from threading import RLock, get_ident
from typing import TYPE_CHECKING

from boundedjobs._failure import attempt
from boundedjobs._here import make_sure_of_room

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], object]


class Todo:
    """The lock of one runner, and three kinds of calls that are not made while it is held.

    What is added starts a thread or wakes a loop. What follows up may call listeners, and so
    waits until the thread that it is on has made those. What is put off came from a signal
    handler or a `__del__` in the midst of a step on the same thread; such calls are made in
    their order, by one thread at a time. Whoever comes next makes what a Ctrl-C has left.
    """

    __slots__ = ("_catching_up", "_following", "_later", "added", "carrying", "deferred", "lock")

    def __init__(self) -> None:
        # It is re-entrant only so that a call that comes in the midst can be told apart, and
        # put off; no user code runs while it is held.
        self.lock = RLock()
        self.added: deque[Call] = deque()
        self.carrying: set[int] = set()  # the threads that make the calls that were added
        self._later: deque[Call] = deque()
        self._following: set[int] = set()  # the threads that make those
        self.deferred: deque[Call] = deque()
        self._catching_up = False  # somebody makes those

    def add(self, call: Call) -> None:
        """Have a call made when the lock is free. Under the lock."""
        self.added.append(call)

    def is_interrupting(self) -> bool:
        """Whether this comes in the midst of a step on the same thread."""
        owns: bool = self.lock._is_owned()  # type: ignore[attr-defined]  # as Condition does
        return owns or (bool(self.carrying) and get_ident() in self.carrying)

    def put_off(self, call: Call, carry_out: Call) -> None:
        """Have a call made when the step is over that it came in the midst of."""
        self.deferred.append(call)
        with suppress(IndexError):  # it has been taken up
            if self.deferred[0] is not call:
                return  # somebody is about to take up the first, and goes on until none is left
        # It waits for the lock, and so for the end of the step. Not a threading.Thread: to
        # start one takes a lock that this thread may hold as well.
        attempt(start_new_thread, carry_out, ())

    def carry_out(self) -> None:
        """Make the calls that are to be made."""
        me = get_ident()
        if self.added:  # these start threads, and wake loops
            make_sure_of_room(25)
        with self.lock:  # until the step is over that a call was put off for
            outermost = me not in self.carrying
        try:
            self.carrying.add(me)
            _make(self.added)
        finally:
            if outermost:
                self.carrying.discard(me)
        if not self.is_interrupting():
            self._follow_up()
            self._catch_up()

    def follow_up(self, call: Call) -> None:
        """Make a call that may call listeners: now, or when this thread is through."""
        self._later.append(call)
        self._follow_up()

    def _follow_up(self) -> None:
        me = get_ident()
        if me in self.carrying or me in self._following:
            return  # one may lead to the next: a loop, not a recursion
        try:
            self._following.add(me)
            _make(self._later)
        except BaseException:
            self.added.append(int)  # so that whoever comes next is told that something is left
            raise
        finally:
            self._following.discard(me)

    def _catch_up(self) -> None:
        while True:
            with self.lock:
                if self._catching_up or not self.deferred:
                    return  # whoever is at it goes on until none is left
                self._catching_up = True
                call = self.deferred.popleft()
            try:
                call()
            finally:
                self._catching_up = False


def _make(calls: deque[Call]) -> None:
    """Make calls until none is left; put one back that a Ctrl-C cuts off."""
    held = None
    try:
        # No signal is seen to between the taking of one and its being held.
        for held in iter(calls.popleft, None):
            held()
            held = None
    except BaseException as exc:
        if held is None and isinstance(exc, IndexError):
            return  # none is left, or somebody else was quicker
        calls.extendleft([held] if held else [])
        raise
