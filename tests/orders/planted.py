"""Defects that are planted on purpose, to show that a search would find them."""

from __future__ import annotations

import inspect
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def plant(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, guard: str, defect: str) -> None:
    """Replace a function, of a class or a module, by a copy in which a guard is something else.

    The guard must be there, once: if the code has changed, the test that plants it must as well.
    """
    original: Callable[..., Any] = getattr(owner, name)
    source = dedent(inspect.getsource(original))
    assert source.count(guard) == 1, f"{name} has {source.count(guard)} of:\n{guard}"
    module = sys.modules[original.__module__]
    made: dict[str, Any] = {}
    # As annotations are in the package: not looked at. And `super()` is named in full.
    code = "from __future__ import annotations\n" + source.replace(guard, defect)
    exec(compile(code, inspect.getfile(original), "exec"), vars(module), made)
    owners = [owner]
    if inspect.ismodule(owner):  # others may have imported it by its name
        owners = [m for n, m in sys.modules.items() if n.startswith("boundedjobs.")]
    for each in owners:
        if vars(each).get(name) is original:
            monkeypatch.setattr(each, name, made[name])
