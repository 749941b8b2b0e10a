"""What every test is held to: no thread and no event loop outlives it."""

from __future__ import annotations

import gc
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _nothing_outlives_its_test() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    if set(threading.enumerate()) - before:
        gc.collect()  # a runner that was dropped without closing lets its idle workers go
    deadline = time.monotonic() + 5
    for thread in set(threading.enumerate()) - before:
        if isinstance(thread, threading._DummyThread):  # another library's, seen in passing
            continue
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), f"{thread!r} outlived its test"
