"""A camera: where its pictures come from, how to watch it, and how it fares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from mesh.ids import CameraId, SiteId, WorkerId

FRAME_RATE: Final = 8.0  # frames per second to analyse
MIN_FACE_PIXELS: Final = 40


class CameraRole(StrEnum):
    """What a camera looks at."""

    ENTRANCE = "ENTRANCE"
    INTERIOR = "INTERIOR"
    OUTSIDE = "OUTSIDE"


class OutagePolicy(StrEnum):
    """What its worker does when the registry is silent."""

    FAILOVER = "FAILOVER"
    PINNED = "PINNED"


class CameraState(Enum):
    """How a camera fares, derived from its lease and its worker's reports."""

    DISABLED = "DISABLED"
    UNASSIGNED = "UNASSIGNED"
    OPENING = "OPENING"
    WATCHING = "WATCHING"
    PAUSED = "PAUSED"
    FAILING = "FAILING"
    DARK = "DARK"
    PARKED = "PARKED"
    FINISHED = "FINISHED"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A camera's user name and password."""

    username: str = field(repr=False)
    password: str = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.username or self.password)


# A corner in fractions of the frame.
Corner: TypeAlias = tuple[float, float]
Mask: TypeAlias = tuple[Corner, ...]


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """How to watch; an absent value is the default of its day, so that defaults can get better."""

    frame_rate: float | None = None
    min_face_pixels: int | None = None
    motion_gate: bool | None = None
    snapshots: bool | None = None


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera.

    Attributes:
        credentials: sealed; None: none are stored.
        outage_policy: None: the registry chooses.
        state, problem: how it fares, and why when it does not; problem is a footfall.type.v1.Problem as JSON.
    """

    id: CameraId
    site_id: SiteId
    display_name: str
    source_uri: str
    recording_start_time: datetime | None
    credentials: bytes | None = field(repr=False)
    role: CameraRole
    masks: tuple[Mask, ...]
    settings: CameraSettings
    outage_policy: OutagePolicy | None
    disabled: bool
    pinned_worker_id: WorkerId | None
    create_time: datetime
    update_time: datetime
    delete_time: datetime | None = None
    state: CameraState = CameraState.UNASSIGNED
    problem: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A source as a request writes it, whole.

    Attributes:
        credentials: None: it brings none.
        clear_credentials: forget the stored ones.
    """

    uri: str
    recording_start_time: datetime | None = None
    credentials: Credentials | None = None
    clear_credentials: bool = False


class CredentialsFate(Enum):
    """What a new source means for the stored credentials."""

    KEEP = "keep"
    REPLACE = "replace"
    FORGET = "forget"


def credentials_fate(before_uri: str, change: SourceChange) -> CredentialsFate:
    """Whether the stored user name and password go with the new source.

    They are kept for the same host alone: who may write a camera could otherwise have its password sent to a host of
    their own.
    """
    if change.clear_credentials:
        return CredentialsFate.FORGET
    if change.credentials:
        return CredentialsFate.REPLACE
    return CredentialsFate.KEEP if host(before_uri) == host(change.uri) else CredentialsFate.FORGET


def host(uri: str) -> str:
    """The host that a source is on, in lower case and without its port; "" for usb, file and folder."""
    return urlsplit(uri).hostname or ""


def scheme(uri: str) -> str:
    """The kind of a source: rtsp, http, usb, file, …"""
    return uri.partition(":")[0].lower()


def is_simple(mask: Sequence[Corner]) -> bool:
    """Whether a polygon does not cross or touch itself: only then is it plain what lies within."""
    edges = [(mask[index], mask[(index + 1) % len(mask)]) for index in range(len(mask))]
    if any(begin == end for begin, end in edges):
        return False
    for index, one in enumerate(edges):
        for other_index in range(index + 1, len(edges)):
            neighbours = other_index == index + 1 or (index == 0 and other_index == len(edges) - 1)
            if _touch(one, edges[other_index], neighbours=neighbours):
                return False
    return True


_Edge: TypeAlias = tuple[Corner, Corner]


def _turn(origin: Corner, via: Corner, to: Corner) -> float:
    """Twice the area of the triangle: > 0 for a left turn, < 0 for a right one, 0 on a line."""
    return (via[0] - origin[0]) * (to[1] - origin[1]) - (via[1] - origin[1]) * (to[0] - origin[0])


def _within(edge: _Edge, point: Corner) -> bool:
    """Whether a point of the edge's line lies on the edge."""
    (left, top), (right, bottom) = edge
    inside_x = min(left, right) <= point[0] <= max(left, right)
    return inside_x and min(top, bottom) <= point[1] <= max(top, bottom)


def _touch(one: _Edge, other: _Edge, *, neighbours: bool) -> bool:
    """Whether two edges meet; neighbours may in the corner that they share, but may not fold back on each other."""
    if neighbours:
        shared = one[1] if one[1] in other else one[0]
        ends = [point for point in (*one, *other) if point != shared]
        folded = len(ends) != 2 or _turn(shared, *ends) == 0
        return folded and any(_within(edge, end) for edge in (one, other) for end in ends if end not in edge)
    turns = (_turn(*one, other[0]), _turn(*one, other[1]), _turn(*other, one[0]), _turn(*other, one[1]))
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    touching = ((one, other[0]), (one, other[1]), (other, one[0]), (other, one[1]))
    return any(turn == 0 and _within(edge, point) for turn, (edge, point) in zip(turns, touching, strict=True))


# -- how it fares -----------------------------------------------------------------------------------------------------

_SILENT: Final = frozenset({"SUSPECT", "LOST"})


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known about who watches a camera.

    Attributes:
        lease_state, epoch: of its lease; None: it never had one.
        worker_state: of the worker that holds it.
        activity, report_epoch: as that worker last said.
        parked: no worker is tried for now.
    """

    lease_state: str | None = None
    epoch: int = 0
    worker_state: str | None = None
    activity: str | None = None
    report_epoch: int = 0
    parked: bool = False


def camera_state(watch: Watch, *, disabled: bool) -> CameraState:
    """How a camera fares: the strongest reason first."""
    if disabled:
        return CameraState.DISABLED
    if watch.parked:
        return CameraState.PARKED
    if watch.lease_state not in {"ACTIVE", "RELEASING"} or watch.worker_state is None:
        return CameraState.UNASSIGNED
    if watch.worker_state in _SILENT:
        return CameraState.DARK
    if watch.activity is None or watch.report_epoch != watch.epoch:
        return CameraState.OPENING  # its holder has not spoken of it yet
    return CameraState[watch.activity]
