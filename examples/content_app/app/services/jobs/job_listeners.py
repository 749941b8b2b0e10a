"""What the runner says of its jobs, written into their rows.

The listeners are sync: they run on the thread where the step happens, and the job goes on when the
row is written. So a row never lags behind its job, and who waited for a job finds its row final.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update

from boundedjobs import Job, JobEvent, JobStatus, current_job
from examples.content_app.app.database import commit_change, get_db_session
from examples.content_app.app.models import OPEN, SERVER, JobRow, RowStatus

_ROW_STATUS = {
    JobStatus.PENDING: RowStatus.PENDING,
    JobStatus.RUNNING: RowStatus.GENERATING,
    JobStatus.SUCCEEDED: RowStatus.COMPLETED,
    JobStatus.FAILED: RowStatus.FAILED,
    JobStatus.CANCELLED: RowStatus.CANCELLED,
    JobStatus.INTERRUPTED: RowStatus.INTERRUPTED,
    JobStatus.REJECTED: RowStatus.REJECTED,
}

NOT_RUNNING: dict[str, Any] = {"stage": "", "stuck_at": None, "stack": None}
"""What a row says of a run that is under way, when none is."""

live_jobs: dict[str, Job[Any]] = {}
"""The runner's job of each row that has one which is not final: what `cancel` asks."""


def record_status(event: JobEvent) -> None:
    """Write a step into the row that the job works for."""
    row_id = str(event.args[0])
    if event.status is JobStatus.PENDING:
        live_jobs[row_id] = current_job()
    try:
        _write_status(event, row_id)
    finally:
        # Last, so that who finds an open row without a live job knows that nothing will follow.
        if event.status.is_final and (job := live_jobs.get(row_id)) and job.id == event.job_id:
            del live_jobs[row_id]


def _write_status(event: JobEvent, row_id: str) -> None:
    change = update(JobRow).where(JobRow.id == row_id, JobRow.status.in_(OPEN))
    if event.previous is None:
        # Accepted or refused: the run takes the row, if none has and nobody has cancelled it.
        change = change.where(JobRow.run_id.is_(None)).values(run_id=event.job_id)
    else:
        change = change.where(JobRow.run_id == event.job_id)
    change = change.values(status=_ROW_STATUS[event.status])
    if event.status is JobStatus.RUNNING:
        change = change.values(started_at=event.at)
    elif event.status.is_final:
        change = change.values(finished_at=event.at, reason=_reason(event), **NOT_RUNNING)
    if event.status is JobStatus.SUCCEEDED:
        change = change.values(percent=100)
    elif event.status is JobStatus.FAILED and event.failure:
        change = change.values(error=_storable(event.failure.traceback))
    with get_db_session() as db:
        commit_change(db, change)


def record_progress(event: JobEvent) -> None:
    """Write the percentage and the stage."""
    if event.progress is not None:
        percent = round(100 * event.progress.fraction)
        _write_of_running(event, percent=percent, stage=_storable(event.progress.message))


def record_stuck(event: JobEvent) -> None:
    """Write where a body is that runs for long."""
    _write_of_running(event, stuck_at=event.at, stack=_storable(event.stack))


def _write_of_running(event: JobEvent, **values: object) -> None:
    """Write of a run that is under way; a final row stays as it is."""
    with get_db_session() as db:
        commit_change(
            db,
            update(JobRow)
            .where(
                JobRow.id == str(event.args[0]),
                JobRow.run_id == event.job_id,
                JobRow.status == RowStatus.GENERATING,
            )
            .values(**values),
        )


def _reason(event: JobEvent) -> str | None:
    if event.status is JobStatus.SUCCEEDED:
        return None
    if event.status is JobStatus.CANCELLED:
        return "cancelled before it had ended"
    if event.failure is None:
        return event.status.value
    if event.status is JobStatus.FAILED:
        return _storable(f"{event.failure.type}: {event.failure.message}")
    return event.failure.message


def _storable(text: str) -> str:
    """What an exception says may hold a NUL, which PostgreSQL refuses."""
    return text.replace("\0", "\\0")


def interrupt_open_rows(owner: str = SERVER) -> int:
    """Mark every row of this owner that is not final `interrupted`; how many there were.

    For the start of a program, and for its end. Right for one process of each owner only: jobs
    live in the memory of the process that accepted them, so when it starts, or has drained, none
    can be under way. With several, each would have to be an owner by a name of its own.
    """
    with get_db_session() as db:
        return commit_change(
            db,
            update(JobRow)
            .where(JobRow.owner == owner, JobRow.status.in_(OPEN))
            .values(
                status=RowStatus.INTERRUPTED,
                reason=f"the {owner} was stopped before this job had ended",
                finished_at=datetime.now(UTC),
                **NOT_RUNNING,
            ),
        )


def interrupt_if_never_submitted(row_ids: list[str], reason: str) -> None:
    """Mark those rows `interrupted` that no job was ever submitted for."""
    never_submitted = (
        JobRow.id.in_(row_ids),
        JobRow.status == RowStatus.PENDING,
        JobRow.run_id.is_(None),
    )
    with get_db_session() as db:
        # Looked for first, without a transaction that writes: as a rule there is none.
        if db.scalar(select(JobRow.id).where(*never_submitted)):
            ended = {"status": RowStatus.INTERRUPTED, "reason": reason}
            commit_change(
                db,
                update(JobRow)
                .where(*never_submitted)
                .values(**ended, finished_at=datetime.now(UTC)),
            )
