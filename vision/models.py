# ruff: noqa: T201  a command line speaks on its standard output
"""`make models`: fetches the models that the operator accepts, checks their sha256, and lays them in one folder."""

import argparse
import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from vision.manifest import Manifest, ModelEntry, ModelProblem, UnknownModel, WrongChecksum, check, read, verified

TIMEOUT_SECONDS: Final = 30.0
_CHUNK: Final = 1 << 16


class DownloadFailed(ModelProblem):
    """None of a model's addresses answered with its bytes; the message lists each with its reason."""


class NotAccepted(ModelProblem):
    """The operator did not accept the licence."""


Opener = Callable[[str], Iterable[bytes]]
"""Answers the body at an address in pieces. Raises OSError (urllib's errors are OSErrors)."""


def over_https(url: str) -> Iterable[bytes]:
    """The body at an https address. Raises OSError, and ValueError for any other scheme."""
    if not url.startswith("https://"):
        raise ValueError(f"models are fetched over https only: {url}")
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  https, checked above
        while chunk := answer.read(_CHUNK):
            yield chunk


def fetch(entry: ModelEntry, folder: Path, *, opener: Opener = over_https) -> Path:
    """Lays one model into the folder, unless its file is there and right. Atomic: a torn download leaves no file.

    Raises `DownloadFailed`, `WrongChecksum` (a file that is there and wrong, or an archive whose member is).
    """
    target = folder / entry.file
    if target.exists():
        verified(folder, entry)
        return target
    if not entry.urls:
        raise DownloadFailed(f"{entry.name} has no public address: put {entry.file} into {folder} by hand")
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for url in entry.urls:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            try:
                body = _download(entry, url, Path(scratch) / "body", opener)
                file = body if entry.archive is None else _member(entry, body)
            except (OSError, ModelProblem, zipfile.BadZipFile, KeyError) as problem:
                reasons.append(f"  {url}: {_reason(problem)}")
                continue
            file.replace(target)
            return target
    raise DownloadFailed("\n".join([f"could not fetch {entry.name}:", *reasons]))


def main(arguments: list[str] | None = None, *, opener: Opener = over_https) -> int:
    """The command line; answers the exit code."""
    manifest = read()
    known = {entry.name: entry for entry in manifest.entries}
    options = _options(manifest).parse_args(arguments)
    if options.list:
        for entry in manifest.entries:
            print(_line(entry))
        return 0
    try:
        for name in options.models or [entry.name for entry in manifest.defaults()]:
            if name not in known:
                raise UnknownModel(f"no model is called {name!r}; known: {', '.join(known)}")
            entry = known[name]
            _accept(entry, options.accept)
            path = fetch(entry, options.folder, opener=opener)
            print(f"{path}  {entry.licence}  sha256 ok")
    except ModelProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"now: export FOOTFALL_MODELS={options.folder}")
    return 0


def _options(manifest: Manifest) -> argparse.ArgumentParser:
    defaults = " ".join(entry.name for entry in manifest.defaults())
    parser = argparse.ArgumentParser(prog="python -m vision.models", description=__doc__)
    parser.add_argument("models", nargs="*", help=f"names of the manifest (default: {defaults})")
    parser.add_argument("--accept", action="append", default=[], metavar="LICENCE", help="accept without being asked")
    parser.add_argument("--list", action="store_true", help="list the models and leave")
    parser.add_argument(
        "--folder",
        type=lambda text: Path(text).expanduser().resolve(),
        default=Path(os.environ.get("FOOTFALL_MODELS") or "models").resolve(),
        help="where the files go (default: $FOOTFALL_MODELS, else ./models)",
    )
    return parser


def _line(entry: ModelEntry) -> str:
    notes = " · non-commercial" if entry.consent else ""
    notes += "" if entry.urls else " · no public address"
    return f"{entry.name:22} {entry.kind:9} {entry.bytes / 1e6:6.1f} MB  {entry.licence}{notes}"


def _accept(entry: ModelEntry, accepted: list[str]) -> None:
    """Raises `NotAccepted`."""
    if entry.licence in accepted:
        return
    warning = " It forbids commercial use." if entry.consent else ""
    if sys.stdin.isatty():
        answer = input(f"{entry.name} ({entry.source}) is licensed {entry.licence}.{warning} Accept? [y/N] ")
        if answer.strip().lower() in {"y", "yes"}:
            return
    raise NotAccepted(f"{entry.name} is licensed {entry.licence}.{warning} To accept: --accept {entry.licence}")


def _download(entry: ModelEntry, url: str, path: Path, opener: Opener) -> Path:
    """Raises OSError, `WrongChecksum`; stops as soon as more bytes arrive than the manifest names."""
    expected_bytes = entry.archive.bytes if entry.archive else entry.bytes
    expected = entry.archive.sha256 if entry.archive else entry.sha256
    digest, received = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in opener(url):
            received += len(chunk)
            if received > expected_bytes:
                raise DownloadFailed(f"more than the expected {expected_bytes} bytes arrived")
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != expected:
        raise WrongChecksum(path.with_name(url.rsplit("/", 1)[-1]), expected, digest.hexdigest())
    return path


def _member(entry: ModelEntry, archive: Path) -> Path:
    """The model's file, unpacked beside its archive. Raises `WrongChecksum`, KeyError, BadZipFile."""
    if entry.archive is None:
        raise ValueError(f"{entry.name} does not come in an archive")
    target = archive.with_name(entry.file)
    with zipfile.ZipFile(archive) as zipped, zipped.open(entry.archive.member) as member:
        # Never more than the manifest names: an archive may lie about its sizes.
        body = member.read(entry.bytes + 1)
    check(target, body, entry.sha256)
    target.write_bytes(body)
    return target


def _reason(problem: Exception) -> str:
    if isinstance(problem, urllib.error.HTTPError):
        return f"the server answered {problem.code} {problem.reason}"
    if isinstance(problem, urllib.error.URLError):
        return f"no connection ({problem.reason})"
    if isinstance(problem, KeyError):
        return f"not in the archive: {problem}"
    return str(problem) or type(problem).__name__


if __name__ == "__main__":
    sys.exit(main())
