"""Logs of the children: one file each, rotated by size, so that a chatty child cannot fill the disk."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

LIMIT_BYTES = 8 * 1024 * 1024
KEEP = 2
"""Older files beside the current one: NAME.log.1 is the youngest of them."""

_TAIL_BLOCK = 64 * 1024
_FOLLOW_SECONDS = 0.3


class RotatingLog:
    """Appends bytes; never lets the file grow beyond `limit` by more than one write."""

    def __init__(self, path: Path, *, limit: int = LIMIT_BYTES, keep: int = KEEP) -> None:
        """Opens `path` for appending; its folder must exist."""
        self._path, self._limit, self._keep = path, limit, keep
        self._file: BinaryIO = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Appends, and rotates when that filled the file."""
        self._file.write(data)
        if self._file.tell() >= self._limit:
            self._rotate()

    def _rotate(self) -> None:
        self._file.close()
        for age in range(self._keep, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{age}")
            younger = self._path if age == 1 else self._path.with_name(f"{self._path.name}.{age - 1}")
            if younger.exists():
                younger.replace(older)
        self._file = self._path.open("ab", buffering=0)

    def close(self) -> None:
        """Safe to repeat."""
        self._file.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Closes."""
        self.close()


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, oldest first; empty when there is none. Reads backwards, so a long log costs nothing."""
    try:
        with path.open("rb") as file:
            position = file.seek(0, 2)
            content = b""
            while position > 0 and content.count(b"\n") <= lines:
                step = min(_TAIL_BLOCK, position)
                position = file.seek(position - step)
                content = file.read(step) + content
    except FileNotFoundError:
        return []
    return list(deque(content.decode(errors="replace").splitlines(), maxlen=lines))


def follow(path: Path, *, pause: Callable[[float], None] = time.sleep) -> Generator[str, None, None]:
    """Lines that are written from now on, for ever; a rotation loses none."""
    file = path.open("rb")
    file.seek(0, os.SEEK_END)
    rest = b""
    try:
        while True:
            rotated = _is_another(path, file)  # asked before reading: what is read then is all of the old file
            *whole, rest = (rest + file.read()).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
            if rotated:
                file.close()
                file = path.open("rb")
            elif not whole:
                pause(_FOLLOW_SECONDS)
    finally:
        file.close()


def _is_another(path: Path, file: BinaryIO) -> bool:
    """Whether `path` names a newer file than the open one."""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:  # between the two steps of a rotation
        return False
