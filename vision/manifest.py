"""The models that Footfall knows (manifest.toml), and how a folder of files becomes a detector and an embedder.

No weights ship with Footfall. A file is used only if its sha256 is the manifest's: a wrong one is refused by name, with
both sums, before onnxruntime sees a byte of it.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from vision.detect import DEFAULT_SCORE, Detector, Scrfd, YuNet
from vision.embed import ArcFace, Embedder, Preprocessing

Kind = Literal["detector", "embedder"]


class ModelProblem(RuntimeError):  # noqa: N818
    """A model cannot be used; the message says which file and what to do. Base of the others."""


class UnknownModel(ModelProblem):
    """No model of that name and kind stands in the manifest."""


class ModelMissing(ModelProblem):
    """The models folder lacks the file."""


class WrongChecksum(ModelProblem):
    """The file's bytes are not those that the manifest names."""

    def __init__(self, path: Path, expected: str, actual: str) -> None:
        """`expected`, `actual`: sha256 in hex."""
        super().__init__(f"{path.name}: sha256 is {actual}, the manifest says {expected}: refused ({path})")
        self.expected, self.actual = expected, actual


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file that holds a model among others."""

    member: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class EmbedderFacts:
    """What only an embedder has."""

    space: str
    dimension: int
    match_threshold: float
    """Cosine, −1…1, for 1:N search."""
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the manifest."""

    name: str
    kind: Kind
    family: str
    """Which class decodes it: yunet, scrfd or arcface."""
    file: str
    bytes: int
    sha256: str
    licence: str
    consent: bool
    """True where the licence forbids commercial use."""
    source: str
    urls: tuple[str, ...]
    archive: Archive | None
    embedder: EmbedderFacts | None

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Self:
        """From one `[[model]]` table of manifest.toml."""
        facts = None
        if raw["kind"] == "embedder":
            pre = raw["preprocessing"]
            facts = EmbedderFacts(
                space=raw["space"],
                dimension=raw["dimension"],
                match_threshold=raw["match_threshold"],
                preprocessing=Preprocessing(pre["channels"], tuple(pre["mean"]), tuple(pre["std"])),
            )
        return cls(
            name=raw["name"],
            kind=raw["kind"],
            family=raw["family"],
            file=raw["file"],
            bytes=raw["bytes"],
            sha256=raw["sha256"],
            licence=raw["licence"],
            consent=raw.get("consent", False),
            source=raw["source"],
            urls=tuple(raw["urls"]),
            archive=Archive(**raw["archive"]) if "archive" in raw else None,
            embedder=facts,
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every model, and which two are the defaults."""

    entries: tuple[ModelEntry, ...]
    default_detector: str
    default_embedder: str

    def entry(self, name: str, kind: Kind) -> ModelEntry:
        """Raises `UnknownModel`, naming those that there are."""
        for entry in self.entries:
            if entry.name == name and entry.kind == kind:
                return entry
        known = ", ".join(entry.name for entry in self.entries if entry.kind == kind)
        raise UnknownModel(f"no {kind} is called {name!r}; known: {known}")

    def defaults(self) -> tuple[ModelEntry, ModelEntry]:
        """The default detector and embedder."""
        return self.entry(self.default_detector, "detector"), self.entry(self.default_embedder, "embedder")

    def threshold(self, space: str) -> float | None:
        """The 1:N threshold to start with in an embedding space; None for a space that the manifest does not know."""
        for entry in self.entries:
            if entry.embedder is not None and entry.embedder.space == space:
                return entry.embedder.match_threshold
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """A detector and an embedder, ready to run on one thread."""

    detector: Detector
    embedder: Embedder
    match_threshold: float
    """The cosine to start 1:N search with in `embedder.space`."""
    names: tuple[str, ...]
    """For people and for the registry, e.g. ("yunet-dynamic", "mobilefacenet-ms1m")."""


def read() -> Manifest:
    """The manifest that ships with Footfall."""
    raw = tomllib.loads(resources.files("vision").joinpath("manifest.toml").read_text(encoding="utf-8"))
    return Manifest(
        entries=tuple(ModelEntry.parse(entry) for entry in raw["model"]),
        default_detector=raw["defaults"]["detector"],
        default_embedder=raw["defaults"]["embedder"],
    )


def load(
    folder: Path,
    *,
    detector: str | None = None,
    embedder: str | None = None,
    provider: str = "cpu",
    score: float = DEFAULT_SCORE,
    manifest: Manifest | None = None,
) -> Models:
    """Opens two models from a folder, after checking their sha256. Call once per thread that will run them.

    `detector`, `embedder`: names of the manifest, its defaults when None. `provider`: see `inference.PROVIDERS`.
    Raises `UnknownModel`, `ModelMissing`, `WrongChecksum`, `ProviderUnavailable`.
    """
    manifest = manifest or read()
    found = manifest.entry(detector or manifest.default_detector, "detector")
    facing = manifest.entry(embedder or manifest.default_embedder, "embedder")
    if facing.embedder is None:
        raise UnknownModel(f"{facing.name} lacks an embedding space in the manifest")
    decoder: type[YuNet] | type[Scrfd] = YuNet if found.family == "yunet" else Scrfd
    return Models(
        detector=decoder(verified(folder, found), provider=provider, score=score),
        embedder=ArcFace(
            verified(folder, facing),
            space=facing.embedder.space,
            preprocessing=facing.embedder.preprocessing,
            provider=provider,
        ),
        match_threshold=facing.embedder.match_threshold,
        names=(found.name, facing.name),
    )


def missing(folder: Path, names: Sequence[ModelEntry] | None = None) -> tuple[ModelEntry, ...]:
    """Those of the entries (the defaults when None) whose file the folder lacks. Checks no sums: made to be quick."""
    wanted = read().defaults() if names is None else names
    return tuple(entry for entry in wanted if not (folder / entry.file).is_file())


def verified(folder: Path, entry: ModelEntry) -> bytes:
    """The bytes of the entry's file in the folder, checked. Raises `ModelMissing`, `WrongChecksum`.

    Bytes rather than a path: what was checked is what runs, even if the file is exchanged in between.
    """
    path = folder / entry.file
    try:
        body = path.read_bytes()
    except OSError as problem:
        raise ModelMissing(
            f"{path} cannot be read ({problem.strerror}); `make models` fetches {entry.name}, "
            "or FOOTFALL_MODELS names the folder that holds it"
        ) from problem
    check(path, body, entry.sha256)
    return body


def check(path: Path, body: bytes, expected: str) -> None:
    """Raises `WrongChecksum` unless the sha256 of `body` is `expected` (hex)."""
    actual = hashlib.sha256(body).hexdigest()
    if actual != expected:
        raise WrongChecksum(path, expected, actual)
