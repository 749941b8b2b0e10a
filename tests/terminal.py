"""As much of a terminal as tests of `boundedjobs.live` need: what is to be seen on it."""

from __future__ import annotations

import io
import re
import threading
from typing import TYPE_CHECKING

from tests.gates import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

_COLORS = re.compile(r"\x1b\[[\d;]*m")
_PIECES = re.compile(r"\x1b\[(?P<arguments>[?\d;]*)(?P<control>[A-Za-z])|[\r\n]|[^\x1b\r\n]+")


class Screen(io.StringIO):
    """A stream that can be waited for, and read as a terminal would show it."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        super().__init__()
        self._is_terminal = is_terminal
        self._changed = threading.Condition()
        # As of when it was last read.
        self.shows_cursor = True
        self.cursor = 0, 0

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        with self._changed:
            self._changed.notify_all()
            return super().write(text)

    def wait_for(self, text: str) -> None:
        """Wait until `text` has been written, whatever its colors."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self._written(), TIMEOUT), self._written()

    def _written(self) -> str:
        return _COLORS.sub("", self.getvalue())

    def wait_until(self, seen: Callable[[list[str]], bool]) -> list[str]:
        """Wait for a picture; return its lines."""
        with self._changed:
            assert self._changed.wait_for(lambda: seen(self.lines()), TIMEOUT), self.lines()
            return self.lines()

    def lines(self) -> list[str]:
        """What is to be seen now, without colors, down to the last line that is not empty.

        Nothing has scrolled out of sight.
        """
        with self._changed:
            written = self._written()
        lines, row, column = [""], 0, 0
        for piece in _PIECES.finditer(written):
            match piece["control"]:
                case "A":
                    row = max(0, row - int(piece["arguments"] or 1))
                case "K":
                    assert piece["arguments"] == "2"
                    lines[row] = ""
                case "h" | "l" as control:
                    assert piece["arguments"] == "?25"
                    self.shows_cursor = control == "h"
                case None if piece[0] == "\r":
                    column = 0
                case None if piece[0] == "\n":
                    row, column = row + 1, 0
                    lines += [""] * (row + 1 - len(lines))
                case None:
                    line = lines[row].ljust(column)
                    lines[row] = line[:column] + piece[0] + line[column + len(piece[0]) :]
                    column += len(piece[0])
                case other:
                    raise AssertionError(f"this terminal can't do {other!r}")
        self.cursor = row, column
        return "\n".join(line.rstrip() for line in lines).rstrip("\n").split("\n")
