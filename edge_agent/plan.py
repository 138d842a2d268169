"""What is asked of a camera, and what it answers."""

from dataclasses import dataclass, field
from datetime import datetime

from edge_agent.eye import EyeSettings
from edge_agent.sources.address import Credentials
from edge_agent.sources.capture import Activity


@dataclass(frozen=True, slots=True)
class Plan:
    """How to watch a camera. Two equal plans need no new capture."""

    uri: str = field(repr=False)
    credentials: Credentials = field(repr=False)
    recording_start: datetime | None
    frame_rate: float
    eye: EyeSettings
    space: str
    """The embedding space to use; empty for ANONYMOUS."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a camera cannot be watched: reason is the name of an ErrorReason, the message holds no address."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """How a camera fares."""

    activity: Activity
    paused: bool
    frame_age: float | None
    frame_rate: float
    trouble: Trouble | None
    watermark: datetime
    """Server time (or the recording's) before which every passage has become an event."""
