"""Checks of what callers pass: each names the parameter, the rule and the value."""

from __future__ import annotations

from math import inf
from threading import TIMEOUT_MAX


def whole(parameter: str, value: object, least: int) -> int:
    """An int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{parameter} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{parameter} must be at least {least}, got {value}")
    return value


def seconds(parameter: str, value: object) -> float | None:
    """A number of seconds, 0 or more; None if there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{parameter} must be a number of seconds or None, got {value!r}")
    if not value >= 0:  # nor is NaN
        raise ValueError(f"{parameter} must be at least 0 seconds, got {value!r}")
    return value


def offset(parameter: str, value: object) -> float | None:
    """A number of seconds from now, maybe past; None if there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{parameter} must be a number of seconds or None, got {value!r}")
    if value != value:
        raise ValueError(f"{parameter} must be a number of seconds, got {value!r}")
    return value


def duration(parameter: str, value: object) -> float | None:
    """A number of seconds, more than 0; None if there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{parameter} must be a number of seconds or None, got {value!r}")
    if not value > 0:  # nor is NaN
        raise ValueError(f"{parameter} must be more than 0 seconds, got {value!r}")
    return float(value) if value <= TIMEOUT_MAX else inf  # no clock goes as far


def finite(parameter: str, value: object) -> float | None:
    """A number of seconds, more than 0, that pass one day; None if there is none."""
    value = duration(parameter, value)
    if value == inf:
        raise ValueError(f"{parameter} must be a finite number of seconds, got {value!r}")
    return value


def text(parameter: str, value: object) -> str | None:
    """A string that is not empty; None if there is none."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{parameter} must be a string, got {value!r}")
    if not value:
        raise ValueError(f"{parameter} must not be empty, got ''")
    return value
