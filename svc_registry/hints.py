"""The channel on which the rooms of the registry tell one another to look again (mesh/hints.py)."""

from __future__ import annotations

from typing import Final

# A camera, a site, a worker or a key has changed: what should be watched may have, too.
DESIRED: Final = "registry_desired"
