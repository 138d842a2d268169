"""The staff that the agent recognises by itself: a hint for the mesh, which decides. In memory only."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from uuid import UUID

import betterproto2
import grpc
import numpy as np
import structlog
from footfall_messages.footfall.identity import v1 as identity
from footfall_messages.footfall.type import v1 as types
from numpy.typing import NDArray

from edge_agent.messages import embedding_of
from edge_agent.tasks import until_one_ends
from footfall_client.backoff import FullJitter
from footfall_client.channel import Connect, server_stream
from footfall_client.errors import Refused
from footfall_client.token import Tokens
from mesh.clock import Clock
from mesh.ids import StaffId
from vision.embed import DIMENSION, Embedding

WATCH_GALLERY: Final = "/footfall.identity.v1.StaffService/WatchGallery"

SILENCE: Final = 60.0
"""Seconds without a word after which the line counts as dead; the server speaks every 15 s."""

_log = structlog.get_logger(__name__)

_NOBODY: Final[NDArray[np.float32]] = np.zeros((0, DIMENSION), np.float32)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Staff members and their embeddings, as of one checkpoint; replaced whole, so that any thread may read it."""

    faces: Mapping[StaffId, tuple[Embedding, ...]] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    threshold: float = 1.0
    """Cosine from which on a hint is set."""
    revision: int = 0
    """Of the checkpoint; 0 = none yet."""
    _people: tuple[StaffId, ...] = field(init=False, repr=False)
    _matrix: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lays the embeddings out for one product."""
        rows = [(person, face) for person, faces in self.faces.items() for face in faces]
        object.__setattr__(self, "_people", tuple(person for person, _ in rows))
        object.__setattr__(self, "_matrix", np.stack([face for _, face in rows]) if rows else _NOBODY)

    def recognise(self, embedding: Embedding) -> StaffId | None:
        """The staff member whom an embedding resembles most, if it does enough."""
        if not self._people:
            return None
        similarities = self._matrix @ embedding
        best = int(np.argmax(similarities))
        return self._people[best] if float(similarities[best]) >= self.threshold else None


class GalleryWatcher:
    """Keeps the gallery as the mesh has it, and hands each consistent point of it on."""

    def __init__(
        self,
        connect: Connect,
        tokens: Tokens,
        clock: Clock,
        backoff: FullJitter,
        *,
        space: str,
        changed: Callable[[Gallery], None],
    ) -> None:
        """`space`: that this agent computes. `changed`: gets every checkpoint's gallery. Starts nothing."""
        self._connect, self._tokens, self._clock, self._backoff = connect, tokens, clock, backoff
        self._space, self._changed = space, changed
        self._faces: dict[StaffId, tuple[Embedding, ...]] = {}
        self._revision = 0
        self._heard = 0.0
        self._anew = asyncio.Event()

    def reload(self) -> None:
        """Drops the gallery and fetches it anew."""
        self._faces, self._revision = {}, 0
        self._changed(Gallery())
        self._anew.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            at_least = 0.0
            self._anew.clear()
            try:
                await until_one_ends(self._watch(), self._listen_for_silence(), self._anew.wait())
            except Refused as error:
                at_least = error.retry_after
                _log.warning("gallery_ended", code=error.code.name, reason=error.reason)
            except (ConnectionError, asyncio.InvalidStateError) as error:
                _log.warning("gallery_ended", problem=str(error))
            if not self._anew.is_set():
                await self._clock.sleep(self._backoff.next(at_least=at_least))

    async def _watch(self) -> None:
        self._heard = self._clock.monotonic()
        token = await self._tokens.get()
        channel = self._connect()
        request = identity.WatchGalleryRequest(space=self._space, revision=self._revision)
        try:
            answers = server_stream(channel, WATCH_GALLERY, request, identity.WatchGalleryResponse, token=token.value)
            async for message in answers:
                self._heard = self._clock.monotonic()
                self._apply(message)
        except Refused as error:
            if error.code is grpc.StatusCode.UNAUTHENTICATED:
                self._tokens.spoiled(token)
            raise
        finally:
            await channel.close()
        raise ConnectionError("identity closed the stream")

    def _apply(self, message: identity.WatchGalleryResponse) -> None:
        match betterproto2.which_one_of(message, "message"):
            case ("reset", _):
                self._faces = {}
            case ("entry", identity.GalleryEntry() as entry):
                self._replace(entry)
            case ("checkpoint", identity.GalleryCheckpoint() as checkpoint):
                self._backoff.reset()
                self._checkpoint(checkpoint)
            case ("problem", types.Problem() as problem):
                raise ConnectionError(f"identity ended the stream: {problem.reason.name}")

    def _replace(self, entry: identity.GalleryEntry) -> None:
        faces = [
            face for one in entry.embeddings if one.space == self._space and (face := embedding_of(one)) is not None
        ]
        staff_id = StaffId(UUID(entry.staff_id))
        if faces:
            self._faces[staff_id] = tuple(faces)
        else:
            self._faces.pop(staff_id, None)

    def _checkpoint(self, checkpoint: identity.GalleryCheckpoint) -> None:
        if checkpoint.staff_count != len(self._faces) and self._revision:
            # Something was missed: begin anew, with the whole.
            self.reload()
            return
        if checkpoint.revision != self._revision:
            _log.info("gallery_changed", revision=checkpoint.revision, staff=len(self._faces))
        self._revision = checkpoint.revision
        self._changed(Gallery(MappingProxyType(dict(self._faces)), checkpoint.hint_threshold, checkpoint.revision))

    async def _listen_for_silence(self) -> None:
        while True:
            await self._clock.sleep(SILENCE / 2)
            if self._clock.monotonic() - self._heard > SILENCE:
                raise ConnectionError("identity is silent")
