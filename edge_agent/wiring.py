"""The only place where an agent's parts are put together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from uuid import uuid4

import structlog

from edge_agent import messages
from edge_agent.camera import Camera, WorkerClock, Workshop
from edge_agent.cameras import Cameras
from edge_agent.commands import AgentCommands
from edge_agent.gallery import Gallery, GalleryWatcher
from edge_agent.health import HealthServer
from edge_agent.inference import Inference
from edge_agent.metrics import AgentCollector
from edge_agent.plan import Plan, Trouble
from edge_agent.session.session import Outside, Session
from edge_agent.session.stream import WorkerFacts
from edge_agent.session.timing import running_asleep
from edge_agent.settings import AgentSettings
from edge_agent.sources.address import parse
from edge_agent.sources.capture import Capture, Pace
from edge_agent.sources.factory import build, source_maker
from edge_agent.sources.port import Fault, SourceError
from edge_agent.spool.records import Limits
from edge_agent.spool.spool import Spool
from edge_agent.tasks import until_one_ends
from edge_agent.tracking.domain import Rules
from edge_agent.uplink import Uplink
from footfall_client.backoff import FullJitter
from footfall_client.channel import Connect, connector
from footfall_client.token import ApiKey, Tokens
from mesh.clock import Clock, SystemClock
from mesh.ids import CameraId, Ids, SystemIds
from mesh.telemetry import METRICS
from vision import demo, manifest
from vision.manifest import Models

SAME_FACE_SHARE: Final = 0.75
"""Of the model's threshold for strangers: two shots a moment apart, among a handful of people, need less."""

LAST_SEND: Final = 5.0
"""Seconds that a stopping agent goes on sending; what is left then waits in the spool."""

FIGURES_EVERY: Final = 5.0
"""Seconds between two looks at the spool's figures."""

_PROVIDERS: Final = {"cpu": "CPU", "coreml": "CoreML", "cuda": "CUDA", "openvino": "OpenVINO"}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent whose parts are put together."""

    session: Session
    uplink: Uplink
    gallery: GalleryWatcher
    cameras: Cameras
    spool: Spool
    inference: Inference
    collector: AgentCollector
    health: HealthServer | None
    clock: Clock

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then ends in order: cameras, spool, uplink. Raises `WorkerDismissed`."""
        METRICS.register(self.collector)
        if self.health is not None:
            await self.health.start()
        session = asyncio.create_task(self.session.run(), name="session")
        uplink = asyncio.create_task(self.uplink.run(), name="uplink")
        try:
            await until_one_ends(self.gallery.run(), self._figures(), stop.wait(), _outcome(session), _outcome(uplink))
        finally:
            await self._end(session, uplink)

    async def _end(self, session: "asyncio.Task[None]", uplink: "asyncio.Task[None]") -> None:
        # Tracks that are under way become events, and are on disk, before anything else ends.
        if session.done():
            await self.cameras.stop()
        else:
            await self.session.leave()
        await self._send_the_rest(uplink)
        for task in (session, uplink):
            task.cancel()
        await asyncio.gather(session, uplink, return_exceptions=True)
        if self.health is not None:
            await self.health.stop()
        await self.inference.close()
        await self.spool.close()
        METRICS.unregister(self.collector)

    async def _send_the_rest(self, uplink: "asyncio.Task[None]") -> None:
        until = self.clock.monotonic() + LAST_SEND
        while not uplink.done() and self.clock.monotonic() < until:
            if (await self.spool.ledger()).spooled == 0:
                return
            await self.clock.sleep(0.1)

    async def _figures(self) -> None:
        while True:
            self.collector.ledger = await self.spool.ledger()
            self.collector.backlog = await self.spool.backlog()
            self.collector.reasons = await self.spool.reasons()
            await self.clock.sleep(FIGURES_EVERY)


async def build_agent(
    settings: AgentSettings,
    *,
    connect: Connect | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
    leases_clock: Callable[[], float] = running_asleep,
    backoff: Callable[[], FullJitter] = FullJitter,
) -> Agent:
    """Loads the models, opens the spool, and puts an agent together that has not begun.

    Raises `ModelProblem`, `ProviderUnavailable`, `SpoolInUseError`, OSError.
    """
    clock, ids, boot_id = clock or SystemClock(), ids or SystemIds(), uuid4()
    connect = connect or gateway_connector(settings)
    inference = Inference(lambda: load_models(settings), clock)
    await inference.start()
    limits = Limits(settings.spool_max_events, settings.spool_max_mib * 1024 * 1024)
    try:
        spool = await Spool.open(settings.spool, boot_id, limits)
    except BaseException:
        await inference.close()
        raise
    tokens = Tokens(connect, ApiKey(settings.api_key.get_secret_value()), clock)
    worker_clock = WorkerClock(clock)
    space = inference.models.embedder.space

    def make_capture(camera_id: CameraId, plan: Plan, pace: Pace) -> Capture:
        make = source_maker(
            plan.uri, plan.credentials, start=plan.recording_start, files=settings.allow_files, clock=clock
        )
        return Capture(make, pace=pace, clock=clock, backoff=backoff(), camera=str(camera_id))

    shop = Workshop(
        boot_id=boot_id,
        clock=worker_clock,
        ids=ids,
        inference=inference,
        spool=spool,
        rules=Rules(),
        make_capture=make_capture,
        recorded_speed=settings.recorded_speed,
        same_face=inference.models.match_threshold * SAME_FACE_SHARE,
    )

    def make_camera(camera_id: CameraId, plan: Plan) -> Camera:
        return Camera(camera_id, plan, shop, lambda epoch: session.is_alive(camera_id, epoch))

    def gallery_changed(changed: Gallery) -> None:
        shop.gallery = changed

    cameras = Cameras(make_camera, spool, clock)
    gallery = GalleryWatcher(connect, tokens, clock, backoff(), space=space, changed=gallery_changed)
    facts = WorkerFacts(
        boot_id=boot_id,
        version=agent_version(),
        embedding_spaces=[space],
        slots=settings.max_cameras,
        platform=messages.platform_name(),
        execution_providers=[_PROVIDERS[settings.provider]],
        spare_frame_rate=lambda: inference.spare_frame_rate,
    )
    session = Session(
        facts,
        Outside(
            connect=connect,
            tokens=tokens,
            spool=spool,
            cameras=cameras,
            commands=AgentCommands(inference, worker_clock, gallery.reload, settings.allow_files),
            clock=worker_clock,
            running_asleep=leases_clock,
            check=lambda plan: trouble_with(plan, space, settings, clock),
            backoff=backoff(),
        ),
    )
    collector = AgentCollector(session, cameras, inference)
    health = None
    if settings.health_listen is not None:
        health = HealthServer(settings.health_listen, lambda: _problem(session), METRICS)
    uplink = Uplink(connect, tokens, spool, clock, backoff())
    return Agent(session, uplink, gallery, cameras, spool, inference, collector, health, clock)


async def _outcome(task: "asyncio.Task[None]") -> None:
    """How a task ends, without ending it."""
    await asyncio.wait({task})
    task.result()


def load_models(settings: AgentSettings) -> Models:
    """Opens what the settings name. Raises `ModelProblem` and `ProviderUnavailable`."""
    if settings.demo_vision or settings.models is None:
        _log.warning("demo_vision", note="only the people of the demo's own films are recognised")
        return demo.load()
    return manifest.load(
        settings.models, detector=settings.detector, embedder=settings.embedder, provider=settings.provider
    )


def gateway_connector(settings: AgentSettings) -> Connect:
    """A way to the gateway. Raises OSError when the CA cannot be read."""
    ca = None if settings.tls_ca is None else settings.tls_ca.read_bytes()
    return connector(settings.gateway, ca=ca, server_name=settings.gateway_name)


def trouble_with(plan: Plan, space: str, settings: AgentSettings, clock: Clock) -> Trouble | None:
    """Why this agent may not, or can never, watch by a plan; None: it may try."""
    if plan.space not in ("", space):
        return Trouble("EMBEDDING_SPACE_UNKNOWN", f"this agent computes {space}, not {plan.space}")
    try:
        build(parse(plan.uri, plan.credentials), start=plan.recording_start, files=settings.allow_files, clock=clock)
    except SourceError as error:
        return Trouble(error.fault.value, error.message) if error.fault in _FOR_EVER else None
    return None


_FOR_EVER: Final = frozenset({Fault.NOT_ALLOWED, Fault.UNSUPPORTED})


def agent_version() -> str:
    """Of the installed package."""
    try:
        return version("footfall")
    except PackageNotFoundError:
        return "0"


def _problem(session: Session) -> str:
    """What /healthz says. An agent without a session still watches its PINNED cameras, but somebody should look."""
    return session.unhealthy_reason or ("" if session.connected else "no session with the registry")
