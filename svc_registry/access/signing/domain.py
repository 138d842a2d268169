"""When a signing key is made, used, replaced and forgotten.

    publish ── lead ──▶ activate ──────── period ────────▶ retire ── overlap ──▶ expire
                                     (successor activates)       (last token is out)

A key is published before it signs, so that no reader meets a token whose key it has not had time to fetch; it stays
published until the last token that it signed has run out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class KeyLife:
    """The times of one key; None: not settled yet."""

    kid: str
    activate_time: datetime
    retire_time: datetime | None = None
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """How long keys live.

    Attributes:
        period: how long a key signs.
        lead: how long before its first use it is published; longer than any reader caches.
        overlap: how long after its last use it is published; longer than a token lives.
    """

    period: timedelta
    lead: timedelta
    overlap: timedelta

    def __post_init__(self) -> None:
        if not timedelta(0) < self.lead < self.period:
            msg = "a key is published before its use, and for less than a period"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What is to be done now.

    Attributes:
        activate_time: of the key to make; None: none is to be made.
        retire: kid and time of the key that the new one replaces, or None.
        drop: kids that have expired.
    """

    activate_time: datetime | None = None
    retire: tuple[str, datetime] | None = None
    drop: tuple[str, ...] = ()


def signing_kid(keys: Sequence[KeyLife], now: datetime) -> str | None:
    """The key that signs now: of those that are active and not retired, the youngest."""
    active = [key for key in keys if key.activate_time <= now and (key.retire_time is None or now < key.retire_time)]
    return max(active, key=lambda key: key.activate_time).kid if active else None


def plan(keys: Sequence[KeyLife], policy: RotationPolicy, now: datetime) -> Rotation:
    """What to do with the keys.

    Args:
        keys: all that are stored.
        policy: how long they live.
        now: aware.

    Returns:
        A rotation; an empty one most of the time. Applying it twice does nothing more.
    """
    drop = tuple(key.kid for key in keys if key.expire_time is not None and key.expire_time <= now)
    open_keys = [key for key in keys if key.retire_time is None]
    if not open_keys:
        # The first key of an installation, or all have retired while nobody ran: nobody can wait for a lead.
        return Rotation(activate_time=now, drop=drop)
    youngest = max(open_keys, key=lambda key: key.activate_time)
    if youngest.activate_time > now or now < youngest.activate_time + policy.period - policy.lead:
        return Rotation(drop=drop)
    handover = max(youngest.activate_time + policy.period, now + policy.lead)
    return Rotation(activate_time=handover, retire=(youngest.kid, handover), drop=drop)
