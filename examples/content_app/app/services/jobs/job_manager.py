"""The rows, as the routes see them: made, listed, cancelled, made ready for another try."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, undefer

from examples.content_app.app.database import commit_change, writing
from examples.content_app.app.models import OPEN, RETRYABLE, SERVER, JobRow, RowStatus
from examples.content_app.app.services.jobs.job_listeners import NOT_RUNNING, live_jobs


class UnknownJob(LookupError):
    """No row has the id."""


class WrongStatus(ValueError):
    """What was asked for cannot be done to a row of this status."""


class JobManager:
    """Works on the rows of one session, and commits each change at once."""

    def __init__(self, db: Session) -> None:
        self._db = db

    def create_job(self, source: str, *, title: str, kind: str, owner: str = SERVER) -> JobRow:
        """Insert a `pending` row. Nothing works for it until its id is submitted to the runner."""
        row = JobRow(
            source=source,
            title=title,
            kind=kind,
            size=len(source.encode()),
            owner=owner,
        )
        with writing(self._db):
            self._db.add(row)
        return row

    def get(self, row_id: str, *, whole: bool = False) -> JobRow:
        """The row as it is now; with its large columns if `whole`. Raises `UnknownJob`."""
        query = select(JobRow).where(JobRow.id == row_id).execution_options(populate_existing=True)
        if whole:
            query = query.options(undefer("*"))
        # What is no id is not looked for: it may be what the database refuses.
        row = self._db.scalar(query) if row_id.isalnum() else None
        if row is None:
            raise UnknownJob(f"no job has the id {row_id[:64]!r}")
        return row

    def newest(self, limit: int, status: RowStatus | None = None) -> Sequence[JobRow]:
        """The newest rows, of all or of one status, newest first, without their large columns."""
        query = select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id).limit(limit)
        return self._db.scalars(query.where(JobRow.status == status) if status else query).all()

    def counts(self) -> dict[str, int]:
        """How many rows there are of each status; zero for those that none has."""
        found = self._db.execute(select(JobRow.status, func.count()).group_by(JobRow.status))
        return {status.value: 0 for status in RowStatus} | {row[0]: row[1] for row in found}

    def cancel(self, row_id: str) -> JobRow:
        """Cancel a pending job at once; ask a running one to stop at its next step.

        Returns the row: `cancelled`, or `generating` with `cancel_requested`, or whatever the job
        came to while it was asked. Raises `UnknownJob`; `WrongStatus` if the row is final.
        """
        row = self.get(row_id)
        if row.status not in OPEN:
            raise WrongStatus(
                f"a job can be cancelled while pending or generating, not {row.status}"
            )
        job = live_jobs.get(row_id)
        if job is None and not self._cancel_without_job(row_id, row.run_id):
            job = live_jobs.get(row_id)  # submitted meanwhile
        if job is not None:
            self._change(row_id, OPEN, cancel_requested=True)
            job.cancel()
        return self.get(row_id)

    def _cancel_without_job(self, row_id: str, run_id: str | None) -> bool:
        """End a row that no live job works for.

        Its background task has not submitted it yet, and will find it so; or its job has ended,
        and the database was not to be reached at that moment; or its job is another process's,
        and what that makes will be dropped.
        """
        change = (
            update(JobRow)
            .where(JobRow.id == row_id, JobRow.status.in_(OPEN), JobRow.run_id == run_id)
            .values(
                status=RowStatus.CANCELLED,
                reason="cancelled before it had ended",
                finished_at=datetime.now(UTC),
                **NOT_RUNNING,
            )
        )
        return commit_change(self._db, change) == 1

    def prepare_retry(self, row_id: str) -> None:
        """Make a row `pending` again, as if new. Of several who ask at once, one succeeds.

        Raises `UnknownJob`; `WrongStatus` if the row is completed, or not final.
        """
        self.get(row_id)
        if not self._change(
            row_id,
            RETRYABLE,
            status=RowStatus.PENDING,
            owner=SERVER,
            percent=0,
            reason=None,
            error=None,
            cancel_requested=False,
            started_at=None,
            finished_at=None,
            run_id=None,
            **NOT_RUNNING,
        ):
            status = self.get(row_id).status
            raise WrongStatus(
                f"a job can be retried when it is {', '.join(RETRYABLE[:-1])} or {RETRYABLE[-1]}, "
                f"not {status}"
            )

    def _change(self, row_id: str, only_from: Sequence[RowStatus], **values: object) -> bool:
        change = update(JobRow).where(JobRow.id == row_id, JobRow.status.in_(only_from))
        return commit_change(self._db, change.values(values)) == 1
