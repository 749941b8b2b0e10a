"""The database: one engine a process, one short session a unit of work."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, cast

from sqlalchemy import (
    CursorResult,
    DateTime,
    Dialect,
    Engine,
    Update,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeDecorator

from examples.content_app.app.settings import settings


class Base(DeclarativeBase):
    """What the tables derive from."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, on databases too that drop the zone, as SQLite does."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@cache
def get_engine() -> Engine:
    """The process's engine for `DATABASE_URL`.

    Raises `ValueError` for an SQLite database in memory: each thread would see its own.
    """
    url = make_url(settings.database_url)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if url.database in {None, "", ":memory:"}:
        raise ValueError(f"DATABASE_URL must name a file for SQLite, got {settings.database_url!r}")
    # Room for each of the 40 threads that sync routes share and for the runner's own: a worker
    # that waited for a connection would hold its slot meanwhile.
    engine = create_engine(url, pool_size=8, max_overflow=64, connect_args={"timeout": 30})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # readers and the writer don't wait for each other
    cursor.execute("PRAGMA synchronous = NORMAL")  # with WAL: safe against a crash of the process
    cursor.close()


def create_tables() -> None:
    """Create the tables, and the columns that a table of an earlier version of the app lacks."""
    engine = get_engine()
    Base.metadata.create_all(engine)
    for table in Base.metadata.sorted_tables:
        there = {column["name"] for column in inspect(engine).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                definition = CreateColumn(column).compile(dialect=engine.dialect)
                with engine.begin() as connection:
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))


@contextmanager
def get_db_session() -> Iterator[Session]:
    """A session that is closed on leaving; what has not been committed then is rolled back."""
    with Session(get_engine(), expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(db: Session) -> Iterator[None]:
    """A transaction that writes, committed on leaving.

    SQLite has one writer at a time, and whoever finds it busy sleeps and tries again: forty threads
    that do so take ten times as long as forty that queue here.
    """
    with _one_writer if get_engine().dialect.name == "sqlite" else nullcontext():
        yield
        db.commit()


_one_writer = Lock()


def commit_change(db: Session, change: Update) -> int:
    """Carry out an UPDATE in a transaction of its own; how many rows it changed."""
    with writing(db):
        result = cast("CursorResult[Any]", db.execute(change))
    return result.rowcount


def database_place() -> str:
    """Where the data is, for people to read: the file's path, or the URL without its password."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return str(Path(url.database).resolve())
    return url.render_as_string(hide_password=True)
