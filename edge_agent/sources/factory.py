"""From what the registry says about a camera to a source that can be opened, if this agent may."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from edge_agent.sources.address import Address, Credentials, allowed_path, parse, recording_start
from edge_agent.sources.port import Fault, Source, SourceError
from edge_agent.sources.video import FilmAsCamera, LiveSource, RecordingSource
from mesh.clock import Clock


def source_maker(
    uri: str, credentials: Credentials, *, start: datetime | None = None, files: Path | None, clock: Clock
) -> Callable[[], Source]:
    """A function that makes the camera's source, or raises `SourceError`; both may be tried again.

    `start`: capture time of a single film's first frame; without it the film's name tells, and if that does not, the
    film is shown as if it were being captured. `files`: the root of the recordings that this agent may read; None = no
    file at all.
    """

    def make() -> Source:
        return build(parse(uri, credentials), start=start, files=files, clock=clock)

    return make


def build(address: Address, *, start: datetime | None, files: Path | None, clock: Clock) -> Source:
    """The source of an address. Raises `SourceError`."""
    if address.path is not None:
        path = allowed_path(address.path, files)
        if path.is_dir() or start is not None or recording_start(path) is not None:
            return RecordingSource(path, start)
        return FilmAsCamera(path, clock)
    target = address.device if address.device is not None else address.url
    if target is None:
        raise SourceError(Fault.UNSUPPORTED, "the camera's address is incomplete")
    return LiveSource(target, clock)
