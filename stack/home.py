"""Where the mesh at one desk keeps everything: one folder, ignored by git, that may be removed to begin again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT = Path(".footfall")
PRIVATE = 0o700
# Root runs PostgreSQL as another user, who must be able to pass through the folder to its own; not to list it.
PASSABLE = 0o711


@dataclass(frozen=True, slots=True)
class Home:
    """The places in the state folder. Use `Home.at`, which makes the path absolute."""

    root: Path

    @classmethod
    def at(cls, path: Path | str = DEFAULT) -> Home:
        """The home at `path`; nothing is made."""
        return cls(Path(path).expanduser().absolute())

    @property
    def postgres(self) -> Path:
        """The embedded server's cluster and socket."""
        return self.root / "postgres"

    @property
    def certificates(self) -> Path:
        """The authority and one certificate per peer."""
        return self.root / "certificates"

    @property
    def gateway(self) -> Path:
        """Envoy's rendered configuration."""
        return self.root / "gateway"

    @property
    def images(self) -> Path:
        """The folder image store."""
        return self.root / "images"

    @property
    def vectors(self) -> Path:
        """Milvus Lite's folder."""
        return self.root / "vectors"

    @property
    def agents(self) -> Path:
        """One JSON file and one state folder (the spool) per edge agent that runs here."""
        return self.root / "agents"

    @property
    def logs(self) -> Path:
        """One log per child, rotated."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """The supervisor's lock and its state."""
        return self.root / "run"

    @property
    def lock(self) -> Path:
        """Held (flock) by a living supervisor, so a stale one cannot exist."""
        return self.run / "lock"

    @property
    def state(self) -> Path:
        """What the supervisor last said of itself and its children (stack/state.py)."""
        return self.run / "state.json"

    @property
    def secrets(self) -> Path:
        """Passwords and the master key ring (stack/secrets.py)."""
        return self.root / "secrets.json"

    @property
    def admin(self) -> Path:
        """The first login (stack/admin.py)."""
        return self.root / "admin.json"

    @property
    def desk(self) -> Path:
        """What `python -m stack camera` made (stack/camera.py)."""
        return self.root / "desk.json"

    def make(self) -> None:
        """Makes the folders that are ours, private to us. Safe to repeat. Raises OSError where that is not allowed."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(PASSABLE if os.geteuid() == 0 else PRIVATE)
        for folder in (self.gateway, self.images, self.vectors, self.agents, self.logs, self.run):
            folder.mkdir(exist_ok=True, mode=PRIVATE)
            folder.chmod(PRIVATE)
