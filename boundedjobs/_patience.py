"""How long a body may take."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from boundedjobs import _checks


@dataclass(frozen=True, slots=True)
class Patience:
    """What a runner, or one wrapped callable, grants each body. Seconds; `inf` is no bound."""

    timeout: float | None = None
    """None: as the runner has it."""

    def over(self, other: Patience | None) -> Patience:
        """This, and where it says nothing, the other."""
        return self if other is None or self.timeout is not None else other

    def deadline(self, begun: float) -> float:
        """When a body that began then has taken too long."""
        return inf if self.timeout is None else begun + self.timeout


def patience(timeout: float | None) -> Patience | None:
    """What was asked for; None if nothing was."""
    timeout = _checks.duration("timeout", timeout)
    return None if timeout is None else Patience(timeout)
