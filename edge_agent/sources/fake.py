"""The fake: a source that plays a script. It passes the same conformance suite as the real ones."""

from collections.abc import Sequence
from datetime import datetime

from edge_agent.sources.port import Fault, Frame, Image, Source, SourceError


class ScriptedSource(Source):
    """Pictures and failures in the order given, then the end."""

    def __init__(self, script: Sequence[tuple[datetime, Image] | SourceError], *, recorded: bool = True) -> None:
        """`script`: what each read does; an error that is the first thing in it makes `open` fail."""
        self._script, self._is_recorded = script, recorded
        self._next: int | None = None
        self._index = -1
        self.opened = 0
        self.closed = 0

    @property
    def recorded(self) -> bool:
        """See `Source.recorded`."""
        return self._is_recorded

    def open(self) -> None:
        """See `Source.open`."""
        self.opened += 1
        if self._script and isinstance(self._script[0], SourceError):
            raise self._script[0]
        self._next, self._index = 0, -1

    def read(self, *, after: datetime | None = None) -> Frame | None:
        """See `Source.read`."""
        if self._next is None:
            raise SourceError(Fault.UNREACHABLE, "the source is not open")
        while self._next < len(self._script):
            step = self._script[self._next]
            self._next += 1
            if isinstance(step, SourceError):
                raise step
            self._index += 1
            if after is None or step[0] >= after:
                return Frame(step[1], step[0], self._index, self._is_recorded)
        return None

    def close(self) -> None:
        """See `Source.close`."""
        self.closed += 1
        self._next = None
