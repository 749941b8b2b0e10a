"""The one table: a job, the document it was made for, and what became of it."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, String, Text
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.orm import Mapped, mapped_column

from examples.content_app.app.database import Base, UtcDateTime


class RowStatus(StrEnum):
    """What a row's `status` may be."""

    PENDING = "pending"
    GENERATING = "generating"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    REJECTED = "rejected"


OPEN = (RowStatus.PENDING, RowStatus.GENERATING)
"""The statuses that something must still follow; every other one is final."""

RETRYABLE = (RowStatus.FAILED, RowStatus.CANCELLED, RowStatus.INTERRUPTED, RowStatus.REJECTED)


SERVER, BURST, CLUSTER = "server", "burst", "cluster"
"""What a row's `owner` may be: the app, `examples.daily_burst`, and `examples.cluster`."""

LONG = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
"""Text of any length; what MySQL calls so ends at 64 kB."""


class JobRow(Base):
    """A row of `jobs`. Every change of `status` is guarded by the status that it starts from."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=lambda: uuid4().hex)
    title: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(10))
    size: Mapped[int]
    status: Mapped[str] = mapped_column(String(12), default=RowStatus.PENDING, index=True)
    percent: Mapped[int] = mapped_column(default=0)
    stage: Mapped[str] = mapped_column(Text, default="")
    reason: Mapped[str | None] = mapped_column(Text)
    """Why the row is failed, cancelled, interrupted or rejected, in a line or two."""
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=lambda: datetime.now(UTC), index=True
    )
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    stuck_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the run was last found to take long; None in a row that is final."""
    stack: Mapped[str | None] = mapped_column(LONG)
    """Where it was then."""

    owner: Mapped[str] = mapped_column(String(12), default=SERVER, server_default=SERVER)
    """Whose jobs work for this row. Each program ends what its own have left open, and no more."""
    run_id: Mapped[str | None] = mapped_column(String(64))
    """The runner's id of the job that works for this row; None until it was submitted.

    Whoever writes for a run names it in the UPDATE's WHERE, so that a run which comes late (it
    was interrupted, and the row has been retried since) cannot write over another's work.
    """

    # Large, so loaded only when asked for.
    source: Mapped[str] = mapped_column(LONG, deferred=True)
    error: Mapped[str | None] = mapped_column(LONG, deferred=True)
    """The traceback of a failed run."""
    pack: Mapped[dict[str, Any] | None] = mapped_column(JSON, deferred=True)
    article_html: Mapped[str | None] = mapped_column(LONG, deferred=True)
    chart_svg: Mapped[str | None] = mapped_column(LONG, deferred=True)
