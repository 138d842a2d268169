"""The demo's own state folder: emptied before each run, because the films' days move with the calendar; films stay."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from stack import state
from stack.home import Home
from stack.state import AlreadyRunningError

DEFAULT: Final = Path(".footfall/demo")
_MARK: Final = "this-is-a-demo"
_KEPT: Final = frozenset({"films", _MARK})


class NotADemoError(Exception):
    """The folder holds something that is not the demo's, and is left alone."""


def films_of(home: Home) -> Path:
    """Where the films lie, below the home."""
    return home.root / "films"


def clear(home: Home) -> None:
    """Empties a demo's home but for its films, or begins one. Raises NotADemoError, AlreadyRunningError, OSError."""
    running = state.living(home)
    if running is not None:
        message = f"a demo runs in {home.root} already (pid {running.pid}); `python -m stack down --home {home.root}`"
        raise AlreadyRunningError(message)
    home.root.mkdir(parents=True, exist_ok=True)
    if any(home.root.iterdir()) and not (home.root / _MARK).exists():
        raise NotADemoError(f"{home.root} is not a demo's folder, and would be emptied: give another one with --home")
    (home.root / _MARK).touch()
    _remove_shelter(home)
    for entry in home.root.iterdir():
        if entry.name in _KEPT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _remove_shelter(home: Home) -> None:
    """Where root's PostgreSQL could not reach the home, its cluster lies elsewhere (stack/postgres.py)."""
    link = home.postgres / "elsewhere"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
