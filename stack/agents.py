"""Edge agents that run at this desk, beside the mesh: each a file with its API key, and a folder for its spool."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from mesh.settings import as_environment
from stack import files
from stack.children import Child, python
from stack.environment import Surroundings, base
from stack.home import Home

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Agent:
    """One worker of one site."""

    name: str
    """For `status` and the log's name: lower-case letters, digits, hyphens."""
    api_key: str = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)
    """More of the agent's settings, e.g. {"FOOTFALL_ALLOW_FILES": "/films"}."""

    def __post_init__(self) -> None:
        """Raises ValueError: the name becomes a file's."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"an agent's name is made of lower-case letters, digits and hyphens, not {self.name!r}")


def add(home: Home, agent: Agent) -> None:
    """Remembers an agent: the next start runs it, and `python -m stack up` that runs now does after SIGHUP."""
    home.agents.mkdir(parents=True, exist_ok=True)
    path = home.agents / f"{agent.name}.json"
    files.write(path, json.dumps(asdict(agent), indent=2) + "\n", mode=files.SECRET, durable=True)


def all_of(home: Home) -> list[Agent]:
    """Every agent of this home, by name. Raises ValueError for a damaged file."""
    contents = [files.read_json(path) for path in sorted(home.agents.glob("*.json"))]
    return [Agent(**content) for content in contents if content is not None]


def child(around: Surroundings, agent: Agent) -> Child:
    """What the supervisor runs for it."""
    folder = around.home.agents / agent.name
    folder.mkdir(exist_ok=True, mode=0o700)
    settings = {
        "gateway": f"localhost:{around.ports.gateway}",
        "tls_ca": around.tls("gateway").ca,
        "api_key": agent.api_key,
        "spool": folder / "spool",
    }

    async def ready(_: int) -> bool:
        # Whether it has work is the registry's to say (worker status); here it lives.
        return True

    return Child(
        name=f"agent-{agent.name}",
        argv=python("edge_agent"),
        env=base(around.environ) | as_environment(settings) | dict(agent.settings),
        ready=ready,
        cwd=folder,
        after=("gateway",),
        stop_seconds=10.0,
    )


def children(around: Surroundings) -> list[Child]:
    """Of every agent of this home."""
    return [child(around, agent) for agent in all_of(around.home)]
