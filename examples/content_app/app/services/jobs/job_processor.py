"""The work of a job: from the row's document to the row's content pack."""

import logging
from dataclasses import asdict

from sqlalchemy import update
from sqlalchemy.orm import Session

from boundedjobs import current_job
from examples.content_app.app.database import commit_change
from examples.content_app.app.models import OPEN, JobRow
from examples.content_app.app.services.content.pack import ContentPack, make_pack

logger = logging.getLogger(__name__)


class JobProcessor:
    """Works within one session, whose transactions are short: none is open during the work."""

    def __init__(self, db: Session) -> None:
        self._db = db

    def process_job(self, job_id: str) -> None:
        """Make the content pack of the row and store it there.

        To be called from a job of the runner, which hears the progress and may be cancelled at any
        step. A row that this run does not own (cancelled before it was submitted) is left alone.
        """
        logger.info("🎬 process_job called for: %s", job_id)
        job = current_job()
        row = self._db.get(JobRow, job_id)
        if row is None or row.run_id != job.id:
            logger.info("job %s is not this run's: nothing to do", job_id)
            return
        source = row.source
        self._db.commit()

        self.store(job_id, job.id, make_pack(source, row.kind, job.report, job.check_cancelled))

    def store(self, job_id: str, run_id: str, pack: ContentPack) -> None:
        """Store what a run has made; drop it if the row is no longer that run's to write."""
        figures = asdict(pack)
        stored = commit_change(
            self._db,
            update(JobRow)
            .where(
                JobRow.id == job_id,
                JobRow.run_id == run_id,
                JobRow.status.in_(OPEN),
            )
            .values(
                article_html=figures.pop("article_html"),
                chart_svg=figures.pop("chart_svg"),
                pack=figures,
            ),
        )
        if stored != 1:
            logger.warning("job %s was ended meanwhile: its content pack is dropped", job_id)
