"""The view of a runner: bars and failures on a terminal, plain lines elsewhere, nothing left behind."""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console, ConsoleRenderable, RenderHook
from rich.file_proxy import FileProxy

from boundedjobs import BoundedRunner, RunnerFull, current_job
from boundedjobs._latch import Latch
from boundedjobs.live import live
from tests.blocking import MOMENT, when_blocking
from tests.gates import TIMEOUT, Gate
from tests.terminal import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform != "win32":
    import termios

ROOT = Path(__file__).parents[1]
FAST = 100.0
"""Drawings a second, where something that changes is waited for."""
_RICH = ("COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
PLAIN = {name: value for name, value in os.environ.items() if name not in _RICH}
"""The environment, without what rich goes by."""
NEVER = 0.001
"""So that it is drawn when the view begins, and when it ends."""


def terminal(width: int = 80, height: int = 24) -> tuple[Console, Screen]:
    screen = Screen()
    return on(screen, width, height), screen


def on(screen: Screen | None, width: int = 80, height: int = 24) -> Console:
    """A console that takes a stream for a terminal, whatever the environment says."""
    return Console(
        file=screen,
        width=width,
        height=height,
        force_terminal=True,
        force_interactive=True,
        color_system="256",
        no_color=False,
    )


def log_file() -> tuple[Console, Screen]:
    screen = Screen()
    return Console(file=screen, width=80, force_terminal=False), screen


def timeless(lines: list[str]) -> list[str]:
    """Without how long it took."""
    return [re.sub(r"\d:\d\d:\d\d|\d+\.\d s", "TIME", line) for line in lines]


def barless(lines: list[str]) -> list[str]:
    """The same, bars as their lengths, and wherever they begin: longer names may have come and gone."""
    return [
        re.sub(r" +([━╸╺]+)", lambda bar: f" <{len(bar[1])}>", line) for line in timeless(lines)
    ]


def fail(message: str = "no heading") -> None:
    raise ValueError(message)


HERE = f"{__file__}:{fail.__code__.co_firstlineno + 1} in fail"


class Reporting(Gate):
    """A body that reports, and waits at the gate."""

    def __init__(self, fraction: float, message: str = "") -> None:
        super().__init__()
        self._report = fraction, message

    def __call__(self, result: Any = None) -> Any:
        current_job().report(*self._report)
        return super().__call__(result)


@contextmanager
def held(runner: BoundedRunner, *gates: Gate) -> Iterator[None]:
    """Jobs named after letters, at the gates for as long as the block lasts."""
    for letter, gate in zip("abcdefghijklmnopqrstuvwxyz", gates, strict=False):
        runner.wrap(gate, name=letter)()
        gate.wait_for()
    yield
    for gate in gates:
        gate.open()


def views() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.endswith("-live")]


def wait_until_all_are_over() -> None:
    pause, deadline = threading.Event(), time.monotonic() + TIMEOUT
    while views():  # that a thread has ended is not told
        assert time.monotonic() < deadline, "a view never ended"
        pause.wait(0.01)


# On a terminal


def test_a_job_that_runs_has_a_bar_with_its_name_its_fraction_its_time_and_its_message() -> None:
    console, screen = terminal()
    with (
        live(BoundedRunner(2), console=console, refresh_per_second=FAST) as runner,
        held(runner, Reporting(0.255, "drafting"), Gate()),
    ):
        screen.wait_for("b ")
        lines = screen.lines()
    assert barless(lines) == [
        "a <20>  25% TIME drafting",
        "b <20>      TIME",
        "runner: 2 running, 0 succeeded in TIME",
    ]
    assert lines[0].startswith("a ━━━━━╺━━━━━━━━━━━━━━  25% 0:00:00")


def test_a_line_counts_what_runs_what_waits_and_what_has_become_of_the_others() -> None:
    console, screen = terminal(120)
    runner = BoundedRunner(1, name="content", max_pending=4)
    with live(runner, console=console, refresh_per_second=FAST):
        for number in range(1_000):
            runner.submit(abs, number).result(TIMEOUT)
        runner.submit(fail).exception(TIMEOUT)
        with held(runner, Gate()):
            waiting = [runner.submit(abs, 1) for _ in range(4)]
            with pytest.raises(RunnerFull):
                runner.submit(abs, 1)
            waiting[0].cancel()
            screen.wait_for("1 rejected")
            lines = screen.lines()
    assert timeless(lines)[1] == (
        "content: 1 running, 3 pending, 1,000 succeeded, 1 failed, 1 cancelled, 1 rejected in TIME"
    )


def test_failures_stand_beneath_with_name_type_message_and_location() -> None:
    console, screen = terminal(200)
    with (
        live(BoundedRunner(2), console=console, refresh_per_second=FAST) as runner,
        held(runner, Gate()),
    ):
        runner.wrap(fail, name="import")()
        runner.submit(float, "x")
        # Not one in which they have failed, and are just leaving their slots.
        lines = screen.wait_until(
            lambda lines: len(lines) == 5 and "1 running, 0 succeeded, 2 failed" in lines[1]
        )
    failures = [
        "failed import in TIME: ValueError: no heading",
        f"    at {HERE}",
        "failed float in TIME: ValueError: could not convert string to float: 'x'",
    ]
    assert barless(lines) == [
        "a <40>      TIME",
        "runner: 1 running, 0 succeeded, 2 failed in TIME",
        *failures,
    ]
    assert timeless(screen.lines()) == [
        "runner: 1 succeeded, 2 failed in TIME",
        *failures,
    ]


def test_a_failure_that_came_and_went_between_two_drawings_is_shown() -> None:
    console, screen = terminal(200)
    with live(BoundedRunner(1), console=console, refresh_per_second=NEVER) as runner:
        runner.submit(fail).exception(TIMEOUT)
    assert timeless(screen.lines()) == [
        "runner: 0 succeeded, 1 failed in TIME",
        "failed fail in TIME: ValueError: no heading",
        f"    at {HERE}",
    ]


def test_a_failure_without_a_message_is_shown_by_its_type() -> None:
    console, screen = terminal(200)
    with live(BoundedRunner(1), console=console) as runner:
        runner.submit(fail, "")
    assert timeless(screen.lines())[1] == "failed fail in TIME: ValueError"


def test_failures_of_which_no_record_is_kept_are_counted() -> None:
    console, screen = terminal()
    with live(BoundedRunner(1, history=1), console=console, refresh_per_second=NEVER) as runner:
        for message in ("first", "second", "third"):
            runner.submit(fail, message)
    lines = timeless(screen.lines())
    assert lines[:2] == [
        "runner: 0 succeeded, 3 failed in TIME",
        "failed fail in TIME: ValueError: third",
    ]
    assert lines[-1] == "and 2 more that failed"


def test_what_was_interrupted_is_among_the_failures() -> None:
    console, screen = terminal()
    gate = Gate()
    with live(BoundedRunner(1, drain_timeout=0), console=console) as runner:
        runner.wrap(gate, name="held")()
        gate.wait_for()
        runner.wrap(gate, name="waits")()
    gate.open()
    lines = barless(screen.lines())
    assert lines[:2] == [
        "held <20>      TIME interrupted, its body goes on",
        "runner: 1 running, 1 overdue, 0 succeeded, 2 interrupted in TIME",
    ]
    assert [line.partition(":")[0] for line in lines if line.startswith("interrupted")] == [
        "interrupted waits",
        "interrupted held in TIME",
    ]


def test_what_has_ended_before_the_view_began_is_not_shown() -> None:
    console, screen = terminal()
    runner = BoundedRunner(1)
    runner.submit(fail).exception(TIMEOUT)
    with live(runner, console=console):
        runner.submit(abs, 1)
    assert timeless(screen.lines()) == ["runner: 1 succeeded in TIME"]


def test_a_body_that_goes_on_after_its_job_has_failed_is_marked() -> None:
    console, screen = terminal()
    gate = Gate()
    runner = BoundedRunner(1, timeout=0.001)
    with live(runner, console=console, refresh_per_second=FAST):
        runner.submit(gate)
        screen.wait_for("its body goes on")
        lines = screen.lines()
        gate.open()
    assert barless(lines)[0] == "Gate <20>      TIME failed, its body goes on"
    assert barless(lines)[1] == "runner: 1 running, 1 overdue, 0 succeeded, 1 failed in TIME"


def test_it_says_that_a_runner_is_paused() -> None:
    console, screen = terminal()
    with live(BoundedRunner(1), console=console, refresh_per_second=FAST) as runner:
        runner.pause()
        runner.submit(abs, 1)
        screen.wait_for("1 pending")
        lines = screen.lines()
    assert timeless(lines) == ["runner: paused, 1 pending, 0 succeeded in TIME"]


@pytest.mark.parametrize(
    ("width", "running", "failed"),
    [
        (
            80,
            "first name…n all, last <20>  50% TIME the message, not all …",
            "failed first name o… in all, last in TIME: ValueError: the error, not all of i…",
        ),
        (
            120,
            "first name of a jo…times in all, last <30>  50% TIME the message, not all of it in 40 col…",
            "failed first name of a job…e times in all, last in TIME: ValueError: the error, not all of "
            "it in 40 columns, nor in 50…",
        ),
    ],
)
def test_long_names_lose_their_midst_and_long_messages_their_end(
    width: int, running: str, failed: str
) -> None:
    console, screen = terminal(width)
    name = "first name of a job that is by far too long, three times in all, last"
    with live(BoundedRunner(2), console=console, refresh_per_second=FAST) as runner:
        gate = Reporting(0.5, "the message, not all of it in 40 columns, nor in 50, 60 or 70")
        job = runner.wrap(gate, name=name)()
        gate.wait_for()
        runner.wrap(fail, name=name)("the error, not all of it in 40 columns, nor in 50, 60 or 70")
        screen.wait_for("1 failed")
        lines = screen.lines()
        gate.open()
        job.result(TIMEOUT)
    assert (barless(lines)[0], timeless(lines)[2]) == (running, failed)
    assert [len(line) for line in lines[::2]] == [width - 1, width]


def test_of_a_long_location_both_ends_are_shown() -> None:
    console, screen = terminal(30)
    with (
        live(BoundedRunner(2), console=console, refresh_per_second=FAST) as runner,
        held(runner, Gate()),
    ):
        runner.submit(fail)
        lines = screen.wait_until(lambda lines: "".join(lines[3:]).startswith("    at"))
    assert lines[3] == f"    {f'at {HERE}'[:12]}…{HERE[-13:]}"


def test_it_never_takes_more_lines_than_the_terminal_has_until_it_ends_and_shows_all() -> None:
    console, screen = terminal(height=12)
    with (
        live(BoundedRunner(21), console=console, refresh_per_second=FAST) as runner,
        held(runner, *[Gate() for _ in range(20)]),
    ):
        for number in range(8):
            runner.submit(fail, f"number {number}").exception(TIMEOUT)
        screen.wait_for("number 7")
        lines = screen.lines()
    assert barless(lines) == [
        *(f"{letter} <20>      TIME" for letter in "abcde"),
        "and 15 more that run",
        "runner: 20 running, 0 succeeded, 8 failed in TIME",
        "failed fail in TIME: ValueError: number 7",
        lines[8],
        "and 7 more that failed",
    ]
    assert [line[-8:] for line in screen.lines() if "ValueError" in line] == [
        f"number {number}" for number in range(8)
    ]


@pytest.mark.parametrize(
    ("width", "height", "lines"),
    [
        (24, 2, ["and 1 more that run", "runner: 1 running, 0 su…"]),
        (24, 8, ["a <6>      TIME", "runner: 1 running, 0 su…"]),
        (4, 8, None),
    ],
)
def test_in_the_smallest_of_terminals_is_the_line_that_counts(
    width: int, height: int, lines: list[str] | None
) -> None:
    console, screen = terminal(width, height)
    with (
        live(BoundedRunner(1), console=console, refresh_per_second=FAST) as runner,
        held(runner, Gate()),
    ):
        screen.wait_for("runner: 1 running" if lines else "run…")
        assert lines is None or barless(screen.lines()) == lines


def test_what_is_typed_meanwhile_has_an_empty_line_of_its_own() -> None:
    console, screen = terminal(10)
    with live(BoundedRunner(1), console=console):
        assert screen.lines() == ["runner: 0…"]
        assert screen.cursor == (1, 0)


def test_what_looks_like_markup_or_controls_a_terminal_is_shown_as_it_is() -> None:
    console, screen = terminal(200)
    with live(
        BoundedRunner(2, name="[red]\x1b[2J"), console=console, refresh_per_second=FAST
    ) as runner:
        gate = Reporting(1, "[b]\r\n\x07\x1b[31m")
        runner.wrap(gate, name="[/]\ud800")()
        gate.wait_for()
        runner.submit(fail, "[i]\x1b]0;title\x07\n\tnext")
        screen.wait_for("next")
        lines = screen.lines()
        gate.open()
    assert barless(lines)[:3] == [
        "[/]? <40> 100% TIME [b] ??[31m",
        "[red]?[2J: 1 running, 0 succeeded, 1 failed in TIME",
        "failed fail in TIME: ValueError: [i]?]0;title? next",
    ]


def test_bars_do_not_move_when_a_long_name_is_gone() -> None:
    console, screen = terminal()
    with (
        live(BoundedRunner(2), console=console, refresh_per_second=FAST) as runner,
        held(runner, Gate()),
    ):
        long = Gate()
        job = runner.wrap(long, name="long" * 3)()
        screen.wait_for("longlonglong")
        long.open()
        job.result(TIMEOUT)
        screen.wait_for("1 succeeded")
        lines = screen.lines()
    assert barless(lines)[0] == "a <20>      TIME"
    assert lines[0].index("━") == 13


def test_bars_do_not_move_when_the_last_message_is_gone() -> None:
    console, screen = terminal()
    name = "a name that is a little longer than half of what there is"
    with live(BoundedRunner(2), console=console, refresh_per_second=FAST) as runner:
        gate, other = Reporting(0.5, "half"), Gate()
        runner.submit(gate)
        screen.wait_for("half")
        runner.wrap(other, name=name)()
        other.wait_for()
        gate.open()
        screen.wait_for("1 succeeded")
        lines = screen.lines()
        other.open()
    assert barless(lines)[0] == "a name tha…at there is <20>      TIME"


def test_no_more_than_a_thousand_failures_are_shown() -> None:
    console, screen = terminal(200)
    with live(BoundedRunner(1, history=2_000), console=console, refresh_per_second=NEVER) as runner:
        for number in range(1_003):
            runner.submit(fail, f"number {number}")
    lines = timeless(screen.lines())
    assert lines[1] == "failed fail in TIME: ValueError: number 3"
    assert len(lines) == 2 + 2 * 1_000
    assert lines[-1] == "and 3 more that failed"


def test_of_a_message_without_end_the_beginning_is_shown() -> None:
    console, screen = terminal(1_000)
    with live(BoundedRunner(1), console=console, refresh_per_second=NEVER) as runner:
        runner.submit(fail, "m" * 100_000)
    assert timeless(screen.lines())[1] == f"failed fail in TIME: ValueError: {'m' * 500}"


def test_nothing_but_ascii_is_drawn_where_the_console_takes_nothing_else() -> None:
    class Ascii(Screen):
        encoding = "ascii"

    screen = Ascii()
    console = on(screen)
    with (
        live(BoundedRunner(2), console=console, refresh_per_second=FAST) as runner,
        held(runner, Reporting(0.5, "message" * 20)),
    ):
        runner.wrap(fail, name="failing" * 20)()
        screen.wait_for("in fail")
    assert screen.getvalue().isascii()


# How long it lasts, and what it changes


def test_it_lasts_until_all_has_ended_that_the_block_has_submitted() -> None:
    console, screen = terminal()
    gate = Gate()

    def let_it_end() -> None:
        screen.wait_for("1 running")
        gate.open()

    helper = threading.Thread(target=let_it_end)
    with live(BoundedRunner(1), console=console, refresh_per_second=FAST) as runner:
        runner.submit(gate)
        gate.wait_for()
        helper.start()
    helper.join(TIMEOUT)
    assert timeless(screen.lines()) == ["runner: 1 succeeded in TIME"]
    assert runner.snapshot().state == "closed"


def test_async_with_enters_the_runner_too_and_waits_for_the_jobs() -> None:
    console, screen = terminal()

    async def main() -> None:
        async with live(BoundedRunner(2), console=console) as runner:
            runner.submit(asyncio.sleep, 0)
            runner.submit(fail)

    asyncio.run(main())
    assert timeless(screen.lines())[0] == "runner: 1 succeeded, 1 failed in TIME"


def test_a_runner_that_is_in_use_already_is_left_open() -> None:
    console, screen = terminal()
    with BoundedRunner(1) as runner:
        with live(runner, console=console):
            runner.submit(abs, 1).result(TIMEOUT)
        assert runner.snapshot().state == "open"
    assert timeless(screen.lines()) == ["runner: 1 succeeded in TIME"]


def test_one_view_can_be_used_again_when_it_is_over() -> None:
    console, screen = terminal()
    view = live(BoundedRunner(1), console=console)
    for _ in range(2):
        with view as runner:
            runner.submit(abs, 1)
    assert timeless(screen.lines()) == ["runner: 1 succeeded in TIME"] * 2


def test_two_views_may_share_a_console() -> None:
    console, screen = terminal()
    one, two = BoundedRunner(1, name="one"), BoundedRunner(1, name="two")
    with (
        live(one, console=console, refresh_per_second=FAST),
        live(two, console=console, refresh_per_second=FAST),
        held(one, Gate()),
    ):
        two.submit(abs, 1)
        screen.wait_for("two: 1 succeeded")
        screen.wait_for("one: 1 running")
    assert timeless(screen.lines()) == ["two: 1 succeeded in TIME", "one: 1 succeeded in TIME"]
    assert screen.shows_cursor


def test_looking_and_drawing_take_a_tenth_of_the_time_at_the_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, pauses = [0.0], list[float]()

    def monotonic() -> float:
        now[0] += 1
        return now[0]

    class Recorded(Latch):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout:
                pauses.append(timeout)
            return super().wait(timeout)

    monkeypatch.setattr("boundedjobs.live.monotonic", monotonic)
    monkeypatch.setattr("boundedjobs.live.Latch", Recorded)
    console, _ = terminal()
    with live(BoundedRunner(1), console=console):
        pass
    assert min(pauses) >= 10


def test_a_ctrl_c_while_the_view_begins_ends_it() -> None:
    def press() -> None:
        raise KeyboardInterrupt

    console, screen = terminal()
    view = live(BoundedRunner(1), console=console)
    with pytest.raises(KeyboardInterrupt), when_blocking(press):
        view.__enter__()
    wait_until_all_are_over()  # it may not have begun yet
    assert timeless(screen.lines()) == ["runner: 0 succeeded in TIME"]
    assert screen.shows_cursor


def test_a_ctrl_c_while_the_view_ends_lets_it_end() -> None:
    class Quiet(BoundedRunner):
        def __exit__(self, *_: object) -> None:
            """Wait for nothing: the view is what is waited for."""

    class Slow(Screen):
        def write(self, text: str) -> int:
            pressed.wait(TIMEOUT)
            pause.wait(MOMENT * 20)  # meanwhile the main thread goes on, if it does not wait
            return super().write(text)

    def press() -> None:
        pressed.set()
        raise KeyboardInterrupt

    pressed, pause = threading.Event(), threading.Event()
    pressed.set()
    screen, runner = Slow(), Quiet(1)
    view = live(runner, console=on(screen), refresh_per_second=NEVER)
    view.__enter__()
    pressed.clear()
    with pytest.raises(KeyboardInterrupt), when_blocking(press):
        view.__exit__(None, None, None)
    assert re.fullmatch(
        r"runner: 0 succeeded in \d\.\d s", "".join(screen.lines())
    )  # the last picture
    assert screen.cursor == (1, 0)
    runner.shutdown()


def test_a_view_that_was_never_left_ends_with_its_last_reference() -> None:
    console, screen = terminal()
    runner = BoundedRunner(1)
    view = live(runner, console=console)
    view.__enter__()
    del view
    wait_until_all_are_over()
    assert timeless(screen.lines()) == ["runner: 0 succeeded in TIME"]
    runner.shutdown()


def test_the_last_reference_to_a_view_may_be_lost_in_the_midst_of_its_drawing() -> None:
    class Dropping(Screen):
        def write(self, text: str) -> int:
            if kept and threading.current_thread() in views():
                kept.clear()
                dropped.set()
            return super().write(text)

    kept, dropped = list[object](), threading.Event()
    screen, runner = Dropping(), BoundedRunner(1)
    view = live(runner, console=on(screen), refresh_per_second=FAST)
    view.__enter__()
    kept.append(view)
    del view
    assert dropped.wait(TIMEOUT)
    runner.shutdown()
    wait_until_all_are_over()
    assert timeless(screen.lines()) == ["runner: 0 succeeded in TIME"]
    assert screen.shows_cursor


def test_without_a_thread_to_draw_it_the_runner_is_not_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    runner = BoundedRunner(1)
    runner.shutdown()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match=r"^can't start new thread$"):
        live(runner, console=terminal()[0]).__enter__()
    assert runner.snapshot().state == "closed"


class Shut(BoundedRunner):
    """Can't be entered, nor left."""

    def __enter__(self) -> Shut:
        raise OSError("shut")

    async def __aenter__(self) -> Shut:
        raise OSError("shut")


class Jammed(BoundedRunner):
    def __exit__(self, *_: object) -> None:
        raise OSError("jammed")

    async def __aexit__(self, *_: object) -> None:
        raise OSError("jammed")


@pytest.mark.parametrize("cls", [Shut, Jammed])
def test_the_view_ends_though_the_runner_raises(cls: type[BoundedRunner]) -> None:
    async def use() -> None:
        async with view:
            pass

    console, screen = terminal()
    runner = cls(1)
    view = live(runner, console=console)
    with pytest.raises(OSError, match=r"^(shut|jammed)$"), view:
        pass
    wait_until_all_are_over()
    with pytest.raises(OSError, match=r"^(shut|jammed)$"):
        asyncio.run(use())
    wait_until_all_are_over()
    assert timeless(screen.lines()) == ["runner: 0 succeeded in TIME"] * 2
    runner.shutdown()


# What is printed meanwhile


@pytest.mark.parametrize("views", [1, 2])
def test_nothing_is_drawn_in_the_midst_of_what_is_printed(
    views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(RenderHook):
        """Between knowing how many lines there are to be overwritten, and overwriting them."""

        def process_renderables(
            self, renderables: list[ConsoleRenderable]
        ) -> list[ConsoleRenderable]:
            if threading.current_thread() is threading.main_thread():
                gate.open()
                ended.wait(MOMENT * 20)  # in vain: the view waits until all is printed
            return renderables

    def watch() -> None:
        screen.wait_for("1 succeeded")
        ended.set()

    screen, gate, ended = Screen(is_terminal=True), Gate(), threading.Event()
    watcher = threading.Thread(target=watch)
    console = on(screen)
    monkeypatch.setattr(sys, "stdout", screen)
    runner = BoundedRunner(1)
    with ExitStack() as stack:
        for each in [BoundedRunner(1), runner][-views:]:
            stack.enter_context(live(each, console=console, refresh_per_second=FAST))
        runner.submit(gate)
        screen.wait_for("1 running")
        print("first")
        console.push_render_hook(Slow())
        watcher.start()
        assert sys.stdout.write("second\n") == 7
        console.pop_render_hook()
        watcher.join(TIMEOUT)
    assert screen.lines()[:2] == ["first", "second"]


def test_a_view_within_another_prints_what_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(is_terminal=True)
    monkeypatch.setattr(sys, "stdout", screen)
    console = on(None)  # the standard output, whatever that is at the time
    with live(BoundedRunner(1, name="one"), console=console):
        with live(BoundedRunner(1, name="two"), console=console):
            print("within both")
        assert sys.stdout is not screen
        print("within one")
    assert sys.stdout is screen
    lines = [line for line in screen.lines() if "succeeded" not in line]
    assert lines == ["within both", "within one"]


def test_what_is_printed_goes_its_way_where_the_console_is_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tty = Screen(is_terminal=True)
    console, screen = terminal()
    monkeypatch.setattr(sys, "stdout", tty)
    with live(BoundedRunner(1), console=console):
        print("printed")
    assert tty.getvalue() == "printed\n"
    assert "printed" not in screen.getvalue()


# What can't be drawn


class Failing(Screen):
    """A stream that takes no more, as the one of a terminal that has been closed."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        super().__init__(is_terminal=is_terminal)
        self.fails = False

    def write(self, text: str) -> int:
        if self.fails:
            raise OSError("no space left on the moon")
        return super().write(text)


def failing() -> tuple[Console, Failing]:
    screen = Failing()
    return on(screen), screen


def test_what_cannot_be_drawn_at_first_is_raised_and_the_runner_is_not_entered() -> None:
    console, screen = failing()
    screen.fails = True
    runner = BoundedRunner(1)
    runner.shutdown()
    with pytest.raises(OSError, match=r"^no space left on the moon$"):
        live(runner, console=console).__enter__()
    assert runner.snapshot().state == "closed"


def test_what_cannot_be_drawn_later_ends_the_view_with_a_warning_and_the_jobs_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    console, screen = failing()
    logged = threading.Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.set()

    handler = Handler()
    logging.getLogger("boundedjobs").addHandler(handler)
    try:
        with live(
            BoundedRunner(1, name="content"), console=console, refresh_per_second=FAST
        ) as runner:
            screen.fails = True
            assert logged.wait(TIMEOUT)
            job = runner.submit(abs, -1)
        assert job.result() == 1
    finally:
        logging.getLogger("boundedjobs").removeHandler(handler)
    (record,) = caplog.records
    message = record.getMessage()
    assert record.levelname == "WARNING"
    assert message.startswith(
        "the view of runner 'content' has ended, and its jobs go on: Traceback"
    )
    assert "OSError: no space left on the moon" in message


def test_a_view_that_can_be_drawn_no_more_gives_the_streams_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Failing(is_terminal=True)
    console = on(screen)
    streams = Failing(is_terminal=True), Failing(is_terminal=True)
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        with live(BoundedRunner(1), console=console, refresh_per_second=NEVER):
            assert handler.stream is sys.stderr is not streams[1]
            print("without an end", end="")
            screen.fails = True
        assert handler.stream is streams[1]
        assert (sys.stdout, sys.stderr) == streams
    finally:
        logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(("seconds", "shown"), [(59.94, "59.9 s"), (3_661.7, "1:01:01")])
def test_what_has_taken_long_is_shown_as_a_clock_does(
    seconds: float, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("boundedjobs._picture.monotonic", lambda: now[0])
    console, screen = terminal()
    with live(BoundedRunner(1), console=console, refresh_per_second=NEVER):
        now[0] = seconds
    assert screen.lines() == [f"runner: 0 succeeded in {shown}"]


# Elsewhere than on a terminal


def test_elsewhere_there_is_a_line_when_a_job_starts_and_one_when_it_ends() -> None:
    console, screen = log_file()
    runner = BoundedRunner(1, name="content")
    with live(runner, console=console, refresh_per_second=FAST):
        gate = Reporting(0.5, "half")
        for job in "ab":
            runner.wrap(gate, name=f"[{job}]\n")()
        screen.wait_for("running [a]")
        runner.wrap(gate, name="waits")().cancel()
        screen.wait_for("cancelled waits")
        gate.open()
        screen.wait_for("succeeded [b]")
        runner.submit(fail, "no heading\x1b[2J " * 20).exception(TIMEOUT)
        runner.submit(float, "x")
    # The others may have ended before there is a line of their start.
    lines = [line for line in timeless(screen.lines()) if "running" not in line or "[a]" in line]
    assert lines == [
        "content: running [a]",
        "content: cancelled waits",
        "content: succeeded [a] in TIME",
        "content: succeeded [b] in TIME",
        f"content: failed fail in TIME: ValueError: {' '.join(['no heading?[2J'] * 20)}, at {HERE}",
        "content: failed float in TIME: ValueError: could not convert string to float: 'x'",
        "content: 2 succeeded, 2 failed, 1 cancelled in TIME",
    ]
    assert "\x1b" not in screen.getvalue()
    assert screen.getvalue().count("running [a]") == 1


def test_elsewhere_a_body_that_goes_on_after_its_end_has_had_its_line() -> None:
    console, screen = log_file()
    gate = Gate()
    with live(BoundedRunner(1, timeout=0.001), console=console, refresh_per_second=NEVER) as runner:
        runner.submit(gate).exception(TIMEOUT)
        with live(runner, console=console, refresh_per_second=NEVER):
            pass
        gate.open()
    lines = [line.partition(" in ")[0] for line in screen.lines()]
    assert lines[:2] == ["runner: 1 running, 1 overdue, 0 succeeded", "runner: failed Gate"]
    assert len(lines) == 3


def test_elsewhere_jobs_of_which_no_record_is_kept_are_counted() -> None:
    console, screen = log_file()
    with live(BoundedRunner(1, history=2), console=console, refresh_per_second=NEVER) as runner:
        for number in range(1_002):
            runner.submit(abs, number)
    assert timeless(screen.lines()) == [
        "runner: succeeded abs in TIME",
        "runner: succeeded abs in TIME",
        "runner: 1,000 more have ended",
        "runner: 1,002 succeeded in TIME",
    ]


# Processes of their own: what they leave, of a terminal and of their streams


def process(code: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", dedent(code)], cwd=ROOT, bufsize=0, **options
    )


def in_pipes(code: str, **environment: str) -> tuple[str, str]:
    """What `code` writes on its standard output and error, where both are pipes."""
    with process(
        code,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**PLAIN, **environment},
    ) as child:
        out, err = child.communicate(timeout=TIMEOUT * 3)
    assert child.returncode == 0, err.decode()
    return out.decode(), err.decode()


SQUARES = """
    from boundedjobs import BoundedRunner
    from boundedjobs.live import live

    with live(BoundedRunner(1, name="squares")) as runner:
        for square in runner.map(pow, [7], [2]):
            print(square)
    """


def test_by_default_it_is_on_the_standard_error_stream() -> None:
    out, err = in_pipes(SQUARES)
    assert out == "49\n"
    assert timeless(err.splitlines())[-1] == "squares: 1 succeeded in TIME"


def test_a_log_is_no_terminal_though_colors_are_forced() -> None:
    _, err = in_pipes(SQUARES, FORCE_COLOR="1", TERM="xterm")
    assert set(re.findall(r"\x1b\[[\d;?]*([A-Za-z])", err)) == {"m"}
    assert "━" not in err


def test_where_nobody_reads_it_the_results_are_printed() -> None:
    code = """
    import sys
    from boundedjobs import BoundedRunner
    from boundedjobs.live import live

    sys.stdin.read()
    with live(BoundedRunner(1)) as runner:
        job = runner.submit(pow, 7, 2)
    print(job.result())
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with process(code, **pipes) as child:
        assert child.stderr
        child.stderr.close()
        child.stderr = None
        out, _ = child.communicate(timeout=TIMEOUT * 3)
    assert out == b"49\n"


def test_without_a_standard_error_stream_the_jobs_run() -> None:
    out, _ = in_pipes("import sys; sys.stderr = None" + dedent(SQUARES))
    assert out == "49\n"


def test_importing_the_package_does_not_import_rich() -> None:
    out, _ = in_pipes("import sys, boundedjobs; print('rich' in sys.modules)")
    assert out == "False\n"


def test_without_rich_the_error_says_what_to_install() -> None:
    code = """
        import sys
        sys.modules["rich"] = None
        try:
            import boundedjobs.live
        except ImportError as error:
            print(error)
        """
    out, _ = in_pipes(code)
    assert out == 'boundedjobs.live needs rich: pip install "boundedjobs[rich]"\n'


# Processes on a terminal of their own

END = b"\x04"


class Terminal:
    """A pseudo-terminal of 80 by 24, and a process that has it as its standard streams."""

    def __init__(self, code: str, **streams: Any) -> None:
        self.screen = Screen()
        self._ours, self._its = os.openpty()
        termios.tcsetwinsize(self._its, (24, 80))
        self._before = termios.tcgetattr(self._its)
        take = "import fcntl, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0)\n"
        self.process = process(
            take + dedent(code),
            start_new_session=True,
            env={**PLAIN, "TERM": "xterm-256color"},
            **{"stdin": self._its, "stdout": self._its, "stderr": self._its, **streams},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")().decode
        data = b""
        while not data.endswith(END):
            data = os.read(self._ours, 65_536)
            self.screen.write(decode(data.removesuffix(END)))

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def wait(self) -> tuple[int, list[str]]:
        """Wait for the process; return its exit code and what is to be seen, without times.

        The terminal is as it was.
        """
        code = self.process.wait(TIMEOUT * 2)
        os.write(self._its, END)
        self._reader.join(TIMEOUT)
        after = termios.tcgetattr(self._its)
        os.close(self._its)
        os.close(self._ours)
        lines = self.screen.lines()
        assert self.screen.shows_cursor
        assert after == self._before
        return code, barless(lines)


WORK = """
    import logging, sys, threading
    from boundedjobs import BoundedRunner, current_job
    from boundedjobs.live import live

    go_on, has_begun = threading.Event(), threading.Event()

    def work():
        current_job().report(0.5, "half")
        has_begun.set()
        go_on.wait(20)

    def fail():
        raise ValueError("no heading")

    logger = logging.getLogger("boundedjobs")
    runner = BoundedRunner(1, name="jobs")
    """

on_a_terminal = pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")


@on_a_terminal
def test_ctrl_c_leaves_the_last_picture_and_the_terminal_as_it_was() -> None:
    code = """
    logger.addHandler(logging.NullHandler())
    with live(runner):
        runner.submit(fail).exception()
        runner.submit(work)
        runner.wrap(work, on_status=lambda e: e.status.value == "cancelled" and go_on.set())()
        threading.Event().wait(20)
    """
    child = Terminal(dedent(WORK) + dedent(code))
    child.screen.wait_for("half")
    child.press(b"\x03")
    exit_code, lines = child.wait()
    assert exit_code == -signal.SIGINT
    assert lines[:4] == [
        "jobs: 1 succeeded, 1 failed, 1 cancelled in TIME",
        "failed fail in TIME: ValueError: no heading",
        "    at <string>:15 in fail",
        "Traceback (most recent call last):",
    ]
    assert lines[-1] == "KeyboardInterrupt"
    assert "^C" not in "".join(lines)


@on_a_terminal
def test_a_second_ctrl_c_leaves_at_once_with_the_terminal_as_it_was() -> None:
    code = """
    logger.addHandler(logging.NullHandler())
    with live(runner):
        runner.wrap(work, name="held")()
        runner.submit(work)
        threading.Event().wait(20)
    """
    child = Terminal(dedent(WORK) + dedent(code))
    child.screen.wait_for("half")
    child.press(b"\x03")
    child.screen.wait_for("1 cancelled")
    child.press(b"\x03")
    exit_code, lines = child.wait()
    assert exit_code == -signal.SIGINT
    assert lines[:3] == [
        "held <20>  50% TIME interrupted, its body goes on",
        "jobs: 1 running, 1 overdue, 0 succeeded, 1 cancelled, 1 interrupted in TIME",
        "interrupted held in TIME: boundedjobs.errors.JobInterrupted: the runner was",
    ]
    assert lines[-1] == "KeyboardInterrupt"
    assert "^C" not in "".join(lines)


@on_a_terminal
def test_a_block_that_raises_leaves_the_last_picture_and_the_terminal_as_it_was() -> None:
    code = """
    with live(runner):
        runner.submit(work)
        has_begun.wait(20)
        go_on.set()
        raise OSError("shut")
    """
    child = Terminal(dedent(WORK) + dedent(code))
    exit_code, lines = child.wait()
    assert exit_code == 1
    assert lines[:2] == [
        "jobs: 1 succeeded in TIME",
        "Traceback (most recent call last):",
    ]
    assert lines[-1] == "OSError: shut"


@on_a_terminal
def test_what_is_printed_and_logged_meanwhile_comes_above() -> None:
    code = """
    streams = sys.stdout, sys.stderr
    for each in (logging.getLogger(), logger):
        each.addHandler(logging.StreamHandler(sys.stderr if each is logger else sys.stdout))
    logger.propagate = False
    handlers = [*logging.getLogger().handlers, *logger.handlers]

    def talk():
        print("printed")
        logging.getLogger().error("by the root")
        logger.error("by the package")
        print("without an end", end="", file=sys.stderr)

    with live(runner, refresh_per_second=50):
        runner.submit(work)
        has_begun.wait(20)
        talk()
        print("ready")
        sys.stdin.readline()  # by then it has been drawn
        go_on.set()
    assert (sys.stdout, sys.stderr) == streams
    assert [handler.stream for handler in handlers] == list(streams)
    """
    child = Terminal(dedent(WORK) + dedent(code), stdin=subprocess.PIPE)
    child.screen.wait_for("half")
    child.screen.wait_for("ready")
    child.process.communicate(b"\n")
    exit_code, lines = child.wait()
    assert exit_code == 0
    assert lines == [
        "printed",
        "by the root",
        "by the package",
        "ready",
        "without an end",
        "jobs: 1 succeeded in TIME",
    ]


@on_a_terminal
def test_a_process_that_is_killed_leaves_a_terminal_that_shows_its_cursor() -> None:
    code = """
    with live(runner):
        runner.submit(work)
        has_begun.wait(20)
    """
    child = Terminal(dedent(WORK) + dedent(code))
    child.screen.wait_for("half")
    child.process.kill()
    assert child.wait()[0] == -signal.SIGKILL


@on_a_terminal
def test_what_is_printed_goes_to_the_file_where_the_standard_output_is_one(tmp_path: Path) -> None:
    code = """
    with live(runner):
        print("result")
    """
    with (tmp_path / "results").open("wb") as file:
        exit_code, lines = Terminal(dedent(WORK) + dedent(code), stdout=file).wait()
    assert exit_code == 0
    assert lines == ["jobs: 0 succeeded in TIME"]
    assert (tmp_path / "results").read_text() == "result\n"


def test_beside_another_display_a_console_must_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    console, _ = terminal()
    monkeypatch.setattr(sys, "stderr", FileProxy(console, sys.stderr))
    message = "another live display is on the terminal: pass its console, as in live(runner, console=console)"
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
        live(BoundedRunner(1)).__enter__()
