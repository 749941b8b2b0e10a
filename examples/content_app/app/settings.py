"""What an operator may set, each by an environment variable; all are read once, at start-up."""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Settings:
    """The app's settings.

    * `DATABASE_URL`: any SQLAlchemy URL; by default `content_app.db` in the current directory.
    * `CONTENT_LIMIT`: how many jobs run at once (2).
    * `CONTENT_MAX_PENDING`: how many may wait for a slot; more are `rejected` (5000).
    * `CONTENT_TIMEOUT`: seconds that a job may run (60); then it is `failed`.
    * `CONTENT_STUCK_AFTER`: seconds that a job runs before the page shows where it is (15), and
      again after twice as long, and so on.
    * `CONTENT_DRAIN_TIMEOUT`: seconds that accepted jobs have to finish when the server is
      stopped (7: with the 2 that open requests get, within the 10 of `docker stop`).
    """

    database_url: str
    limit: int
    max_pending: int
    timeout: float
    stuck_after: float
    drain_timeout: float

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings. Raises `ValueError`, naming the variable, if a number is none."""
        return cls(
            database_url=os.environ.get("DATABASE_URL") or "sqlite:///content_app.db",
            limit=int(_number("CONTENT_LIMIT", 2, at_least=1)),
            max_pending=int(_number("CONTENT_MAX_PENDING", 5000, at_least=0)),
            timeout=_number("CONTENT_TIMEOUT", 60, at_least=0.1),
            stuck_after=_number("CONTENT_STUCK_AFTER", 15, at_least=0.1),
            drain_timeout=_number("CONTENT_DRAIN_TIMEOUT", 7, at_least=0),
        )


def _number(variable: str, default: float, *, at_least: float) -> float:
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not number >= at_least:  # NaN included
        raise ValueError(f"{variable} must be a number of at least {at_least}, got {text!r}")
    return number


settings = Settings.from_environment()
