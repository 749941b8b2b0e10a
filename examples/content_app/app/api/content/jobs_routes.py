"""The routes of `/jobs`, and the background task behind them."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

from anyio import CancelScope
from fastapi import APIRouter, BackgroundTasks, Depends, HTTPException, Query, Response
from fastapi.concurrency import run_in_threadpool

from boundedjobs import BoundedRunner, RunnerClosed, RunnerFull
from examples.content_app.app.api.content.document import Document, posted_document
from examples.content_app.app.api.content.schemas import JobDetail, JobList, JobSummary
from examples.content_app.app.database import get_db_session
from examples.content_app.app.models import JobRow, RowStatus
from examples.content_app.app.services.jobs.job_listeners import (
    interrupt_if_never_submitted,
    record_progress,
    record_status,
    record_stuck,
)
from examples.content_app.app.services.jobs.job_manager import JobManager, UnknownJob, WrongStatus
from examples.content_app.app.settings import settings

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/jobs", tags=["jobs"])

runner = BoundedRunner(
    settings.limit,
    name="content",
    max_pending=settings.max_pending,
    on_status=record_status,
    on_progress=record_progress,
    on_stuck=record_stuck,
    timeout=settings.timeout,
    stuck_after=settings.stuck_after,
    drain_timeout=settings.drain_timeout,
)

RETRY_AFTER_SECONDS = 5


@runner.wrap
def process_job_async(job_id: str) -> None:
    """Make the content pack of a row. A call only hands it to the runner; the body waits for a slot."""
    logger.info("🚀 BACKGROUND TASK STARTED for job %s", job_id)
    # Imported here, as in the service that this is modelled on. There, such an import failed one
    # day, before any `try`, and every job stayed pending without a word. Here it fails the job.
    from examples.content_app.app.services.jobs.job_processor import JobProcessor

    with get_db_session() as db:
        JobProcessor(db).process_job(job_id)


async def created_ids() -> AsyncIterator[list[str]]:
    """Sees to it that each row a request creates gets its job, or an end.

    A background task runs after the response. If that cannot be sent (a middleware raises, the
    server is stopped) the task never runs, and its row would be pending for ever. So when the
    request is over, by whatever way, rows without a job are marked. They are not run: who asked
    was told of an error, and may have asked again.
    """
    ids: list[str] = []
    try:
        yield ids
    finally:
        if ids:
            with CancelScope(shield=True):  # the newest FastAPI does so itself
                await run_in_threadpool(
                    interrupt_if_never_submitted,
                    ids,
                    "the request that created this job broke off before the job was started",
                )


@contextmanager
def said_to_the_client() -> Iterator[None]:
    """Turns what the services raise into answers."""
    try:
        yield
    except UnknownJob as error:
        raise HTTPException(404, str(error)) from None
    except WrongStatus as error:
        raise HTTPException(409, str(error)) from None
    except (RunnerFull, RunnerClosed) as refused:
        # The row says `rejected` already, and why: the listener has heard it.
        raise HTTPException(
            503, str(refused), headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        ) from None


def whole_row(job_id: str) -> JobRow:
    """A row with its large columns."""
    with get_db_session() as db, said_to_the_client():
        return JobManager(db).get(job_id, whole=True)


@router.post(
    "/create",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "text/markdown": {"schema": {"type": "string"}},
                "text/plain": {"schema": {"type": "string"}},
            },
        }
    },
)
def create_job(
    document: Annotated[Document, Depends(posted_document)],
    background_tasks: BackgroundTasks,
    ids: Annotated[list[str], Depends(created_ids)],
    response: Response,
) -> JobSummary:
    """Create a job for the posted document. It starts after the response, when a slot is free."""
    with get_db_session() as db:
        row = JobManager(db).create_job(document.source, title=document.title, kind=document.kind)
    job_id = row.id
    ids.append(job_id)
    background_tasks.add_task(process_job_async, job_id)
    response.headers["Location"] = f"/jobs/{job_id}"
    return JobSummary.model_validate(row)


@router.get("")
def list_jobs(
    limit: Annotated[int, Query(ge=1, le=200)] = 50, status: RowStatus | None = None
) -> JobList:
    """The newest jobs, of all or of one status, and how many there are of each."""
    with get_db_session() as db:
        manager = JobManager(db)
        jobs = [JobSummary.model_validate(row) for row in manager.newest(limit, status)]
        return JobList(jobs=jobs, counts=manager.counts())


@router.get("/{job_id}")
def get_job(job_id: str) -> JobDetail:
    """A job, with its traceback if it failed and its content pack if it is completed."""
    row = whole_row(job_id)
    detail = JobDetail.model_validate(row)
    if row.status != RowStatus.COMPLETED:
        detail.pack = None  # stored a moment before the job ends: it may yet be cancelled
        return detail
    detail.article_url = f"/jobs/{job_id}/article"
    detail.chart_url = f"/jobs/{job_id}/chart.svg"
    return detail


@router.post("/{job_id}/cancel", status_code=202)
def cancel_job(job_id: str) -> JobSummary:
    """Cancel a pending job at once, or ask a running one to stop. 409 if it is final."""
    with get_db_session() as db, said_to_the_client():
        return JobSummary.model_validate(JobManager(db).cancel(job_id))


@router.post("/{job_id}/retry", status_code=202)
def retry_job(job_id: str) -> JobSummary:
    """Submit a job again that ended without a result. 409 if it is not such a one, 503 if full."""
    with get_db_session() as db, said_to_the_client():
        manager = JobManager(db)
        manager.prepare_retry(job_id)
        process_job_async(job_id)
        return JobSummary.model_validate(manager.get(job_id))
