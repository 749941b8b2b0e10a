"""`GET /health`: how the runner is, for load balancers and for whoever looks after the app."""

from dataclasses import fields
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from boundedjobs import JobStatus, Snapshot
from examples.content_app.app.api.content.jobs_routes import runner
from examples.content_app.app.settings import settings

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """What `/health` answers."""

    status: Literal["ok", "degraded", "down"]
    """`degraded`: it works, and somebody should look. `down`: no new job would ever run."""
    reasons: list[str]
    runner: dict[str, Any]


@router.get("/health", responses={503: {"model": Health}})
def health(response: Response) -> Health:
    """How the runner is: 200 while it takes jobs and runs them, 503 when it can't.

    Anybody may ask, so it has figures only: nothing that a job was given, said or failed with.
    And that a sync route answers says that a thread was free.
    """
    seen = runner.snapshot()
    down, degraded = dead(seen), worrying(seen)
    if down:
        response.status_code = 503
    names = [each.name for each in fields(seen) if each.name not in ("jobs", "ended")]
    figures = {name: getattr(seen, name) for name in names}
    return Health(
        status="down" if down else "degraded" if degraded else "ok",
        reasons=down + degraded,
        runner=figures,
    )


def dead(seen: Snapshot) -> list[str]:
    """Why no job that is posted now would run. To start the process anew helps in each case."""
    reasons = []
    if seen.state == "closed":
        reasons.append("the runner is closed")
    if seen.overdue >= seen.limit:
        reasons.append("every slot is held by a body that goes on after its job has ended")
    return reasons


def worrying(seen: Snapshot) -> list[str]:
    """What somebody should look at."""
    reasons = []
    if seen.state == "paused":
        reasons.append("the runner is paused: what is posted waits")
    if seen.overdue:
        reasons.append(f"overdue: {seen.overdue} of {seen.limit} slots")
    running = (job for job in seen.jobs if job.status is JobStatus.RUNNING)
    if stuck := sum((job.ran or 0) >= settings.stuck_after for job in running):
        reasons.append(f"running for {settings.stuck_after:g} s or longer: {stuck}")
    if seen.running >= seen.limit and seen.pending >= settings.max_pending:
        reasons.append("the queue is full: what is posted is rejected")
    return reasons
