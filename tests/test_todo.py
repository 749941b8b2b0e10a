"""What is put off in the midst of a step."""

from __future__ import annotations

import threading

from boundedjobs._todo import Todo
from tests.gates import TIMEOUT, Gate


def test_calls_that_were_put_off_are_made_one_at_a_time() -> None:
    todo, first, second = Todo(), Gate(), threading.Event()
    with todo.lock:
        todo.put_off(first, todo.carry_out)
    first.wait_for()
    todo.put_off(second.set, todo.carry_out)
    todo.carry_out()
    assert not second.is_set()
    first.open()
    assert second.wait(TIMEOUT)
