"""What is put off in the midst of a step."""

from __future__ import annotations

import threading

import pytest

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


def test_whoever_comes_next_is_told_of_what_a_ctrl_c_has_left_to_follow_up() -> None:
    todo, made = Todo(), list[str]()

    def cut_off() -> None:
        made.append("cut off")
        if len(made) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        todo.follow_up(cut_off)
    assert todo.added  # which is what they look at
    todo.carry_out()
    assert made == ["cut off"] * 2
    assert not todo.added


def test_an_index_error_of_what_is_made_is_no_end_of_it() -> None:
    todo = Todo()

    def fails() -> None:
        raise IndexError

    with todo.lock:
        todo.add(fails)
    with pytest.raises(IndexError):
        todo.carry_out()
    assert [*todo.added] == [fails]
