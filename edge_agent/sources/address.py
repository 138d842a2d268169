"""What a camera's address says, and whether this agent may go there. An address may be a secret: nothing prints it."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from edge_agent.sources.port import Fault, SourceError


class Kind(StrEnum):
    """How pictures are fetched."""

    FILE = "file"
    FOLDER = "folder"
    USB = "usb"
    RTSP = "rtsp"
    HTTP = "http"


_SCHEMES: Final = {
    "file": Kind.FILE,
    "folder": Kind.FOLDER,
    "usb": Kind.USB,
    "rtsp": Kind.RTSP,
    "rtsps": Kind.RTSP,
    "http": Kind.HTTP,
    "https": Kind.HTTP,
}

_START: Final = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})(\.\d{1,6})?Z")


@dataclass(frozen=True, slots=True)
class Address:
    """Where pictures are. Nothing in its repr: whoever logs it by mistake logs nothing."""

    kind: Kind
    path: Path | None = field(default=None, repr=False)
    """Of a file or folder."""
    device: int | Path | None = field(default=None, repr=False)
    """Of a USB camera: its number or its path."""
    url: str | None = field(default=None, repr=False)
    """Of a network camera, with the credentials in it, as FFmpeg wants them."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a camera wants to hear, in memory only."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def parse(uri: str, credentials: Credentials = Credentials()) -> Address:
    """Reads the address as the registry sends it. Raises `SourceError` for one that no source understands."""
    scheme, _, rest = uri.partition(":")
    kind = _SCHEMES.get(scheme.lower())
    if kind is None:
        raise SourceError(Fault.UNSUPPORTED, "the camera's address is of a kind that this agent does not know")
    match kind:
        case Kind.FILE | Kind.FOLDER:
            return Address(kind, path=_path(rest))
        case Kind.USB:
            return Address(kind, device=_device(rest))
        case _:
            return Address(kind, url=_with_credentials(uri, credentials))


def allowed_path(path: Path, root: Path | None) -> Path:
    """The path with links resolved, if it lies under the root that the agent's operator opened for recordings.

    Raises `SourceError`: files are off unless the agent was started with a root, whatever the registry says.
    """
    if root is None:
        raise SourceError(Fault.NOT_ALLOWED, "this agent opens no files: start it with --allow-files FOLDER")
    resolved = (path if path.is_absolute() else root / path).resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise SourceError(Fault.NOT_ALLOWED, "the recording lies outside the folder that this agent may read")
    return resolved


def recording_start(path: Path) -> datetime | None:
    """The start that a recording's name tells, e.g. 2026-11-18T09-00-00Z.mp4; None if it tells none."""
    found = _START.search(path.stem)
    if found is None:
        return None
    date, hour, minute, second, fraction = found.groups()
    try:
        return datetime.fromisoformat(f"{date}T{hour}:{minute}:{second}{fraction or ''}").replace(tzinfo=UTC)
    except ValueError:
        return None


def _path(rest: str) -> Path:
    path = unquote(rest.removeprefix("//"))
    if not path or "\0" in path:
        raise SourceError(Fault.UNSUPPORTED, "the recording's address names no file")
    return Path(path)


def _device(rest: str) -> int | Path:
    if re.fullmatch(r"\d{1,3}", rest):
        return int(rest)
    if re.fullmatch(r"/dev/[A-Za-z0-9_-]+(/[A-Za-z0-9_:.-]*[A-Za-z0-9_-])*", rest) and ".." not in rest:
        return Path(rest)
    raise SourceError(Fault.UNSUPPORTED, "a USB camera's address is usb: and its number or its path in /dev")


def _with_credentials(uri: str, credentials: Credentials) -> str:
    try:
        parts = urlsplit(uri)
        hostname, port = parts.hostname, parts.port
    except ValueError:
        hostname, port = None, None
    if not hostname:
        raise SourceError(Fault.UNSUPPORTED, "the camera's address names no host")
    host = f"[{hostname}]" if ":" in hostname else hostname
    place = f"{host}:{port}" if port is not None else host
    if credentials.username:
        place = f"{quote(credentials.username, safe='')}:{quote(credentials.password, safe='')}@{place}"
    return parts._replace(netloc=place).geturl()
