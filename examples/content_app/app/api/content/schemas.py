"""What the job routes answer."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class JobSummary(BaseModel):
    """A job as in a list."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    title: str
    kind: str
    size: int
    status: str
    percent: int
    stage: str
    reason: str | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stuck_at: datetime | None
    stack: str | None


class JobList(BaseModel):
    """The newest jobs, and how many of all there are of each status."""

    jobs: list[JobSummary]
    counts: dict[str, int]


class Term(BaseModel):
    """A key term and how often it occurs."""

    term: str
    count: int


class Pack(BaseModel):
    """The parts of a content pack that are plain text and numbers."""

    terms: list[Term]
    summary: list[str]
    language: str
    words: int
    sentences: int
    reading_minutes: int


class JobDetail(JobSummary):
    """A job with what became of it: the traceback of a failed one, the pack of a completed one."""

    error: str | None
    pack: Pack | None
    article_url: str | None = None
    chart_url: str | None = None
