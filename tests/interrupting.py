"""A Ctrl-C at a call, where a sweep over all points would say less of what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def interrupted_once(
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    exc: type[BaseException] = KeyboardInterrupt,
) -> None:
    """The next call of a method is cut off before it has done anything; those after it are not."""
    method = getattr(owner, name)

    def cut_off(*_: object, **__: object) -> None:
        monkeypatch.setattr(owner, name, method)
        raise exc

    monkeypatch.setattr(owner, name, cut_off)
