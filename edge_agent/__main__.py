"""`python -m edge_agent`: watches cameras for the mesh. Every option is also FOOTFALL_<NAME> of the environment."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Final

import structlog

from edge_agent.session.session import WorkerDismissed
from edge_agent.settings import AgentSettings
from edge_agent.spool.database import SpoolInUseError
from edge_agent.wiring import build_agent, load_models
from mesh.settings import SettingsError, describe, load, variable
from mesh.telemetry import configure_logging
from vision.inference import ProviderUnavailable
from vision.manifest import ModelProblem

EXIT_CONFIGURATION: Final = 2
"""Something must be changed before another start can help."""
EXIT_DISMISSED: Final = 78
"""The registry does not want this process back: systemd's unit does not restart it."""

_FLAGS: Final = {"tls_ca": "--ca"}

_log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(arguments)
    chosen = {name: value for name, value in vars(options).items() if name != "check_config" and value is not None}
    try:
        settings = load(AgentSettings, **chosen)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    configure_logging("edge_agent", settings.log_level)
    if options.check_config:
        return _check(settings)
    try:
        asyncio.run(_run(settings))
    except WorkerDismissed as error:
        _log.error("dismissed", reason=error.reason)
        return EXIT_DISMISSED
    except (ModelProblem, ProviderUnavailable, SpoolInUseError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    return 0


async def _run(settings: AgentSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for wish in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wish, stop.set)
    agent = await build_agent(settings)
    _log.info("agent_started", gateway=settings.gateway)
    await agent.run(stop)
    _log.info("agent_stopped")


def _check(settings: AgentSettings) -> int:
    """Prints the settings, secrets hidden, and opens the models; starts nothing."""
    print(describe(settings))
    try:
        models = load_models(settings)
    except (ModelProblem, ProviderUnavailable) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    print(f"models: {', '.join(models.names)}; embedding space {models.embedder.space}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge_agent", description=__doc__)
    parser.add_argument("--check-config", action="store_true", help="show the settings, open the models, and exit")
    for name, field in AgentSettings.model_fields.items():
        flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
        text = f"{field.description or name} ({variable(name)})"
        if field.annotation is bool:
            parser.add_argument(flag, dest=name, action="store_const", const=True, help=text)
        else:
            parser.add_argument(flag, dest=name, metavar=name.upper(), help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
