"""To have one thread overtaken by another between two instructions, as it may be without the GIL."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.blocking import MOMENT
from tests.gates import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

can_trace = pytest.mark.skipif(
    (3, 12, 0) <= sys.version_info[:3] <= (3, 12, 1),
    reason="3.12.0 and 3.12.1 crash when opcodes are traced, and another thread is traced as well",
)


class Overtaker:
    """Does something on another thread before the `number`-th instruction of some code."""

    def __init__(self, codes: tuple[CodeType, ...], number: int, fn: Callable[[], object]) -> None:
        self.happened = False
        self.thread = threading.Thread(target=fn, daemon=True)
        self._codes = codes
        self._left = count(number, -1)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code not in self._codes:
            return None
        frame.f_trace = self._step  # else 3.13 takes no notice of the next two
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode" and not self.happened and next(self._left) == 1:
            self.happened = True
            self.thread.start()
            self.thread.join(MOMENT)  # it may need a lock that this thread holds
        return self._step


@contextmanager
def overtaken(fn: Callable[[], object], number: int, *codes: CodeType) -> Iterator[Overtaker]:
    """Have `fn` done when this thread comes to the `number`-th instruction of `codes`."""
    overtaker, before = Overtaker(codes, number, fn), sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # else 3.12 stops at no opcode the first time
    sys.settrace(overtaker._enter)
    try:
        yield overtaker
    finally:
        sys.settrace(before)
        if overtaker.happened:
            overtaker.thread.join(TIMEOUT)


def everywhere(attempt: Callable[[int], Overtaker]) -> None:
    """Make the attempt at each instruction, until all have been there."""
    for number in count(1):
        if not attempt(number).happened:
            assert number > 1, "nobody was overtaken"
            return
