"""`python -m edge_agent.install`: prints the unit file for this machine; where to put it, it says on standard error.

The API key goes into the environment file (FOOTFALL_API_KEY=…, readable by the agent's user alone), never into a unit.
"""

import argparse
import getpass
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from jinja2 import Environment, StrictUndefined

System = Literal["systemd", "launchd"]

_TEMPLATES: Final[dict[System, str]] = {
    "systemd": "footfall-agent.service.j2",
    "launchd": "com.footfall.agent.plist.j2",
}
_PLACES: Final[dict[System, str]] = {
    "systemd": "/etc/systemd/system/footfall-agent.service, then: systemctl enable --now footfall-agent",
    "launchd": "/Library/LaunchDaemons/com.footfall.agent.plist, then: launchctl bootstrap system PATH",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit file says. Paths are absolute."""

    python: Path
    environment_file: Path
    state: Path
    """The agent's own folder; FOOTFALL_SPOOL lies in it."""
    user: str

    def __post_init__(self) -> None:
        """Raises ValueError for what a unit file cannot hold safely."""
        for name, value in asdict(self).items():
            if isinstance(value, Path) and not value.is_absolute():
                raise ValueError(f"{name} must be an absolute path")
            if any(character in str(value) for character in '\n"%$<>&'):
                raise ValueError(f"{name} holds a character that a unit file cannot")


def render(system: System, unit: Unit) -> str:
    """The unit file's text."""
    template = resources.files(__package__).joinpath(_TEMPLATES[system]).read_text(encoding="utf-8")
    # No HTML: `Unit` refuses every character that would need escaping in either format.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    return environment.from_string(template).render(asdict(unit))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m edge_agent.install", description=__doc__)
    default: System = "launchd" if sys.platform == "darwin" else "systemd"
    parser.add_argument("--system", choices=sorted(_TEMPLATES), default=default)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--environment-file", type=Path, default=Path("/etc/footfall/agent.env"))
    parser.add_argument("--state", type=Path, default=Path("/var/lib/footfall-agent"))
    parser.add_argument("--user", default=getpass.getuser())
    options = parser.parse_args(arguments)
    try:
        unit = Unit(options.python, options.environment_file, options.state, options.user)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(render(options.system, unit), end="")
    print(f"# put it at {_PLACES[options.system]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
