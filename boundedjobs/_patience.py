"""How long a body may take."""

from __future__ import annotations

from dataclasses import dataclass

from boundedjobs import _checks


@dataclass(frozen=True, slots=True)
class Patience:
    """What a runner, or one wrapped callable, grants each body. Seconds; `inf` is no bound."""

    timeout: float | None = None
    """Then the job has FAILED. None: as the runner has it."""
    stuck_after: float | None = None
    """Then it is said where the body is. None: as the runner has it."""

    def over(self, other: Patience | None) -> Patience:
        """This, and where it says nothing, the other."""
        if other is None:
            return self
        return Patience(
            other.timeout if self.timeout is None else self.timeout,
            other.stuck_after if self.stuck_after is None else self.stuck_after,
        )


def patience(timeout: float | None, stuck_after: float | None) -> Patience | None:
    """What was asked for; None if nothing was."""
    timeout = _checks.duration("timeout", timeout)
    stuck_after = _checks.duration("stuck_after", stuck_after)
    return None if timeout is stuck_after is None else Patience(timeout, stuck_after)
