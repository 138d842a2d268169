"""How much time the call at hand has left; calls to other services get what remains of it."""

from __future__ import annotations

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_remaining(seconds: float | None) -> None:
    """Sets the budget of this task, from now. None: without end. The deadline interceptor calls it."""
    _deadline.set(None if seconds is None else time.monotonic() + seconds)


def remaining() -> float | None:
    """Seconds left, at least 0; None when there is no end."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())
