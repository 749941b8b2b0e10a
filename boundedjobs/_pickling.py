"""A call as bytes, for a worker that shares no memory with this process."""

from __future__ import annotations

import pickle
import sys
from functools import cache
from importlib import import_module
from inspect import signature
from io import BytesIO
from types import FunctionType
from typing import TYPE_CHECKING, Any

from boundedjobs._failure import attempt, call, shown_short, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Far more than anyone wraps a function; and an object may have any attribute for ever.
_LAYERS = 100


class _ByName:
    """Sends a function that a wrapper hides by the wrapper's name, and unwraps it there.

    What is found under the name of a wrapped function is the wrapper, and pickle, which sends
    names, refuses that: "it's not the same object as module.work".
    """

    by_value = False

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is FunctionType and not (self.by_value and obj.__module__ == "__main__"):
            depth = _depth(obj)
            if depth:
                return find, (obj.__module__, obj.__qualname__, depth)
        return self.otherwise(obj)

    def otherwise(self, obj: Any) -> Any:
        return NotImplemented


class _Pickler(_ByName, pickle.Pickler):
    pass


@cache
def _by_value() -> type[pickle.Pickler]:
    """Of an engine whose workers do not import `__main__`: what is defined there is sent whole."""
    cloudpickle = import_module("cloudpickle")

    class Pickler(_ByName, cloudpickle.Pickler):  # type: ignore[misc, name-defined]  # found late
        by_value = True
        otherwise = cloudpickle.Pickler.reducer_override

    return Pickler


def find(module: str, qualname: str, depth: int) -> Any:
    """The function that `depth` wrappers hide under that name."""
    found: Any = import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    for _ in range(depth):
        found = found.__wrapped__
    return found


def _depth(fn: FunctionType) -> int:
    """How many wrappers hide a function that is found by its name; 0 if none does, or it isn't."""
    found, _ = call(find, (fn.__module__, fn.__qualname__, 0), {})
    for depth in range(_LAYERS):
        if found is fn:
            return depth
        found, _ = call(getattr, (found, "__wrapped__", None), {})
        if found is None:
            break
    return 0


def dumps(obj: object, *, by_value: bool) -> bytes:
    """`obj` as bytes."""
    file = BytesIO()
    (_by_value() if by_value else _Pickler)(file, pickle.HIGHEST_PROTOCOL).dump(obj)
    return file.getvalue()


def loads(data: bytes) -> Any:
    """The object again."""
    return pickle.loads(data)


def main_for(data: bytes) -> dict[str, str] | None:
    """What a worker needs that has no `__main__` of its own, to find there what `data` names."""
    if b"__main__" not in data:
        return None
    import multiprocessing  # noqa: F401 - by its name for `__main__` is found here what comes back

    main = sys.modules["__main__"]
    name = getattr(main.__spec__, "name", None)
    if name is not None:
        return {"init_main_from_name": name}
    path = getattr(main, "__file__", None)
    return None if path is None else {"init_main_from_path": path}


def find_main(main: dict[str, str]) -> None:
    """Have the `__main__` of the runner's process here too. Can be done again."""
    # As for a process that is spawned.
    from multiprocessing.spawn import prepare

    prepare(main)


def why_not(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    exc: Exception,
    *,
    by_value: bool,
) -> str:
    """Say which part of a call can't be pickled, why, and what to do. Shows no value."""

    def error_of(part: object) -> Exception | None:
        return attempt(lambda: dumps(part, by_value=by_value))

    error = error_of(fn)
    if error is not None:
        return (
            f"the callable can't be pickled ({shown_short(error)}); a worker finds it by its module "
            "and name: move it to the top level of a module"
        )
    parts = [(_parameter(fn, number), value) for number, value in enumerate(args)]
    for name, value in [*parts, *((repr(key), value) for key, value in kwargs.items())]:
        error = error_of(value)
        if error is not None:
            return (
                f"its argument {name}, a {type_name(type(value))}, can't be pickled "
                f"({shown_short(error)}); pass what it can be made of, an id or a path, and make it "
                "inside the job"
            )
    return f"the call can't be pickled ({shown_short(exc)})"


def _parameter(fn: Callable[..., Any], number: int) -> str:
    """What the function calls its argument; else, which one it is."""
    found, _ = call(signature, (fn,), {})
    if found is not None:
        named = [
            each.name
            for each in found.parameters.values()
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        if number < len(named):
            return repr(named[number])
    return f"number {number + 1}"
