"""From what the registry says about a camera to a source that can be opened, if this agent may."""

from collections.abc import Callable
from pathlib import Path

from edge_agent.sources.address import Address, Credentials, Kind, allowed_path, parse
from edge_agent.sources.port import Fault, Source, SourceError
from edge_agent.sources.video import LiveSource, RecordingSource
from mesh.clock import Clock


def is_recording(uri: str) -> bool:
    """Whether the address names recordings, which an agent opens only under the folder of its --allow-files."""
    return uri.partition(":")[0].lower() in (Kind.FILE, Kind.FOLDER)


def source_maker(uri: str, credentials: Credentials, *, files: Path | None, clock: Clock) -> Callable[[], Source]:
    """A function that makes the camera's source, or raises `SourceError`; both may be tried again.

    `files`: the root of the recordings that this agent may read; None = no file at all.
    """

    def make() -> Source:
        return build(parse(uri, credentials), files=files, clock=clock)

    return make


def build(address: Address, *, files: Path | None, clock: Clock) -> Source:
    """The source of an address. Raises `SourceError`."""
    if address.path is not None:
        path = allowed_path(address.path, files)
        # A folder's address may say "file:": what lies there decides.
        return RecordingSource(path)
    if address.device is not None:
        return LiveSource(address.device, clock)
    if address.url is not None:
        return LiveSource(address.url, clock)
    raise SourceError(Fault.UNSUPPORTED, "the camera's address is incomplete")
