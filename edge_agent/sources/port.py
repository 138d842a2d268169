"""The port of a source of pictures, and the ways in which one can fail."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Height × width × 3, BGR, 0…255."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture."""

    image: Image
    capture_time: datetime
    """Aware. Live: the agent's wall clock when the picture arrived. Recorded: start of the recording + position."""
    index: int
    """0, 1, 2, … since the source was opened; frames that nobody asked for are counted too."""
    recorded: bool
    """The picture comes from a recording: its time lies in the past and needs no correction of the clock."""


class Fault(StrEnum):
    """Why a source delivers nothing. The values are names of the contract's ErrorReason."""

    UNREACHABLE = "SOURCE_UNREACHABLE"
    UNAUTHORIZED = "SOURCE_UNAUTHORIZED"
    UNSUPPORTED = "SOURCE_UNSUPPORTED"
    NOT_ALLOWED = "SOURCE_NOT_ALLOWED"
    FROZEN = "SOURCE_FROZEN"


class SourceError(Exception):
    """A source that cannot be opened or read. Its message is for people and never holds an address or a credential."""

    def __init__(self, fault: Fault, message: str) -> None:
        """`message`: what happened, in words that may leave the machine."""
        super().__init__(message)
        self.fault = fault
        self.message = message


class Source(Protocol):
    """Pictures of one camera. Every method blocks, and all are called from one thread.

    A source that failed does not recover by itself: close it, wait, open it again.
    """

    @property
    def recorded(self) -> bool:
        """What `Frame.recorded` of its frames will be: every frame matters; otherwise only the newest does."""
        ...

    def open(self) -> None:
        """Connects. A second open without a close in between starts anew. Raises `SourceError`."""
        ...

    def read(self, *, after: datetime | None = None) -> Frame | None:
        """The next frame; None at the end of a recording. A later read may go on: a folder may get a new film.

        With `after`, frames captured before that time are skipped without decoding them, where the format allows it.
        Raises `SourceError` when the source broke, and when it is not open.
        """
        ...

    def close(self) -> None:
        """Lets go of everything. May be called at any time, and twice."""
        ...
