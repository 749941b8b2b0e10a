"""What a view shows of a runner: lines for a log, or bars for a terminal. It needs rich."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from boundedjobs._status import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from rich.console import Console, RenderableType

    from boundedjobs._record import JobRecord
    from boundedjobs._runner import BoundedRunner

_STYLES = {"succeeded": "green", "failed": "red", "interrupted": "red", "overdue": "yellow"}
_FINAL = ("succeeded", "failed", "cancelled", "interrupted", "rejected")
_LONGEST = 500  # characters of a name, a message, a location
_KEPT = 1_000  # failures


class Seen:
    """What has been seen of a runner since the view began."""

    def __init__(self, runner: BoundedRunner) -> None:
        self._runner = runner
        self._first = self.now = runner.snapshot()
        self._began = monotonic()
        self.failures: list[JobRecord] = []

    def look(self) -> None:
        """See what is now, and what has ended meanwhile."""
        self.now = self._runner.snapshot(since=self.now)
        self.failures += [record for record in self.now.ended if record.failure is not None]
        del self.failures[:-_KEPT]

    @property
    def held(self) -> tuple[JobRecord, ...]:
        """The jobs that hold a slot, in the order of their start."""
        return self.now.jobs[: self.now.running]

    @property
    def failed(self) -> int:
        """How many jobs have failed, or were interrupted, those included of which nothing is kept."""
        return self._total("failed", "interrupted")

    @property
    def ended(self) -> int:
        """How many jobs have ended."""
        return self._total("succeeded", "failed", "cancelled", "interrupted")

    def counts(self, is_last: bool) -> Text:
        """The line that counts."""
        now = self.now
        parts = [Text("paused", "yellow")] if now.state == "paused" else []
        for word in ("running", "pending", "overdue", *_FINAL):
            count = self._total(word) if word in _FINAL else getattr(now, word)
            if count or word == "succeeded":
                parts.append(Text(f"{count:,} {word}", _STYLES.get(word, "")))
        took = monotonic() - self._began
        name, counts = Text(_plain(now.name), "bold"), Text(", ").join(parts)
        return Text.assemble(name, ": ", counts, f" in {_time(took) if is_last else _clock(took)}")

    def _total(self, *statuses: str) -> int:
        return sum(getattr(self.now, each) - getattr(self._first, each) for each in statuses)


class Lines:
    """For a log: a line for each job that starts, and each that ends."""

    def __init__(self, console: Console, seen: Seen) -> None:
        self._console = console
        self._seen = seen
        self._ended = 0
        self._running: Set[str] = frozenset()

    def draw(self, is_last: bool) -> None:
        """Say what is new."""
        seen, ended = self._seen, self._ended
        head = f"{_plain(seen.now.name)}: "
        lines = [
            Text.assemble(head, _outcome(record, _plain(record.name)), _place(record, ", at "))
            for record in seen.now.ended
        ]
        self._ended = seen.ended
        if more := self._ended - ended - len(lines):
            lines.append(Text(f"{head}{more:,} more have ended"))
        running = {each.id: each for each in seen.held if each.status is RUNNING}
        lines += [
            Text(f"{head}running {_plain(record.name)}")
            for record in running.values()
            if record.id not in self._running
        ]
        self._running = running.keys()
        if is_last:
            lines.append(seen.counts(is_last))
        if lines:
            self._console.print(Text("\n").join(lines), soft_wrap=True)


class Bars:
    """For a terminal: a bar for each job that runs, the line that counts, and the failures."""

    def __init__(
        self, console: Console, seen: Seen, show: Callable[[RenderableType, bool], None]
    ) -> None:
        self._console = console
        self._seen = seen
        self._show = show
        # These never shrink: bars that move to and fro can't be read.
        self._name_width = 0
        self._has_messages = False

    def draw(self, is_last: bool) -> None:
        """Draw as much as the terminal has room for; for the last time, all."""
        seen = self._seen
        held, failures = seen.held, seen.failures
        shown, told = len(held), len(failures)
        if not is_last:
            # Besides: the line that counts, two that say what has no room, and an empty one.
            room = max(0, self._console.height - 5)
            for_failures = min(2 * told, max(room // 3, room - shown))
            shown, told = min(shown, room - for_failures), for_failures // 2
        parts: list[RenderableType] = [self._bars(held[:shown])] if shown else []
        if more := len(held) - shown:
            parts.append(self._line(Text(f"and {more:,} more that run")))
        parts.append(self._line(seen.counts(is_last)))
        for record in failures[len(failures) - told :]:
            parts += self._failure(record, is_last)
        if more := seen.failed - told:
            parts.append(self._line(Text(f"and {more:,} more that failed")))
        if not is_last:
            parts.append(Text())  # for the ^C that a terminal shows where the cursor is
        self._show(Group(*parts), is_last)

    def _bars(self, records: Sequence[JobRecord]) -> Table:
        width = self._console.width
        bar = min(40, width // 4)
        rest = max(0, width - bar - 16)  # without percentage, time and what is between columns
        names = {record.id: _plain(record.name) for record in records}
        self._name_width = max(self._name_width, *map(cell_len, names.values()))
        self._has_messages |= any(map(_message, records))
        name = min(self._name_width, rest // 2 if self._has_messages else rest)
        table = Table.grid(padding=(0, 1))
        for column in (name, bar, 4, 7, rest - name):
            table.add_column(width=column, no_wrap=True)
        for record in records:
            progress = record.progress
            fraction = None if progress is None else progress.fraction
            table.add_row(
                Text(self._short(names[record.id], name)),
                ProgressBar(None if fraction is None else 1.0, fraction or 0.0, bar),
                Text("" if fraction is None else f"{int(fraction * 100):3}%", "cyan"),
                Text(_clock(record.ran or 0), "dim"),
                self._line(_message(record)),
            )
        return table

    def _failure(self, record: JobRecord, is_last: bool) -> list[RenderableType]:
        name, place = _plain(record.name), _place(record, "at ")
        if not is_last:
            width = self._console.width
            name, place = self._short(name, width // 3), self._short(place, width - 4)
        outcome = _outcome(record, name)
        parts: list[RenderableType] = [outcome if is_last else self._line(outcome)]
        if place:
            parts.append(Padding(Text(place, "dim"), (0, 0, 0, 4)))
        return parts

    def _short(self, text: str, width: int) -> str:
        """A text of which the midst is left out, if it is too long: its ends say more."""
        if cell_len(text) <= width:
            return text
        dots = "..." if self._console.options.ascii_only else "…"
        head = max(0, width - len(dots)) // 2
        tail = max(0, width - len(dots)) - head
        return f"{set_cell_size(text, head)}{dots}{set_cell_size(text[::-1], tail)[::-1]}"

    def _line(self, text: Text) -> Text:
        """A text that is cut where the line ends."""
        text.no_wrap = True
        text.overflow = "crop" if self._console.options.ascii_only else "ellipsis"
        return text


def _message(record: JobRecord) -> Text:
    """What a job that holds a slot has reported."""
    if record.status.is_final:
        return Text(f"{record.status}, its body goes on", "yellow")
    return Text("" if record.progress is None else _plain(record.progress.message))


def _outcome(record: JobRecord, name: str) -> Text:
    """How a job has ended, and why."""
    line = Text().append(record.status.value, _STYLES.get(record.status, ""))
    line.append(f" {name}", "bold")
    if record.ran is not None:
        line.append(f" in {_time(record.ran)}", "dim")
    if record.failure is not None:
        line.append(f": {_plain(record.failure.type)}")
        if record.failure.message:
            line.append(f": {_plain(record.failure.message)}")
    return line


def _place(record: JobRecord, before: str) -> str:
    """Where it went wrong, if that is known."""
    place = "" if record.failure is None else _plain(record.failure.location)
    return f"{before}{place}" if place else ""


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else _clock(seconds)


def _clock(seconds: float) -> str:
    """Without the tenths, which nobody can read while they run."""
    return str(timedelta(seconds=int(seconds)))


def _plain(text: str) -> str:
    """One line of what can be shown: the terminal would do what a control sequence says."""
    line = " ".join(text[:_LONGEST].split())
    return "".join(each if each.isprintable() else "?" for each in line)
