"""What every test is held to: no thread, no event loop and no task outlives it."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.register_assert_rewrite("tests.orders.stage")  # its asserts say as much as a test's

PATIENCE = 5.0
"""Seconds that what is about to end may take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("proof") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))  # it may take minutes


class Figures(Protocol):
    """Has a figure of a proof, how much it went through, shown when all tests are over."""

    def __call__(self, figure: object, /) -> None: ...


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """What a proof reports with."""
    return lambda figure: record_property("figure", str(figure))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "figure"
    ]
    if told and terminalreporter.config.getoption("markexpr") == "proof":
        terminalreporter.section("figures of what holds")
        terminalreporter.write("\n".join([*told, ""]))


@pytest.fixture(scope="session", autouse=True)
def _collections_leave_out_what_was_imported() -> Iterator[None]:
    """Many tests collect garbage: a third of the suite's time would go to what never is any."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell has what it starts in the background ignore it, and whatever that starts, too."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def loops() -> Iterator[WeakSet[asyncio.BaseEventLoop]]:
    """Every event loop there is, whoever made it."""
    known: WeakSet[asyncio.BaseEventLoop] = WeakSet()
    original = asyncio.BaseEventLoop.__init__

    def noted(self: asyncio.BaseEventLoop) -> None:
        original(self)
        known.add(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.BaseEventLoop, "__init__", noted)
        yield known


@pytest.fixture(autouse=True)
def _nothing_outlives_its_test(
    loops: WeakSet[asyncio.BaseEventLoop], request: pytest.FixtureRequest
) -> Iterator[None]:
    before = set(threading.enumerate())
    before_idents = set(sys._current_frames())
    loops_before = set(loops)
    yield
    if set(threading.enumerate()) - before:
        gc.collect()  # a runner that was dropped without closing lets its idle workers go
    deadline = time.monotonic() + PATIENCE
    for thread in set(threading.enumerate()) - before:
        if not isinstance(thread, threading._DummyThread):  # that one can't be joined
            # Nor can one that is just being started.
            thread._started.wait(PATIENCE)  # type: ignore[attr-defined]
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"{thread!r} outlived its test"
    pause = threading.Event()
    while bare := set(sys._current_frames()) - before_idents:  # started by no `Thread`: no join
        assert time.monotonic() < deadline, f"bare threads outlived their test: {bare}"
        pause.wait(0.01)
    made = set(loops) - loops_before
    for loop in made:
        assert loop.is_closed(), f"{loop!r} outlived its test"
    if any(all(marker.args) for marker in request.node.iter_markers("leaves_tasks")):
        return
    if any(asyncio.all_tasks(loop) for loop in made):
        gc.collect()  # nobody refers to what was cut off when its loop was closed under it
    for loop in made:
        assert not (tasks := asyncio.all_tasks(loop)), f"tasks outlived their test: {tasks}"
