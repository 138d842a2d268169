"""python -m svc_registry [--check-config] | bootstrap-admin --email E"""

from __future__ import annotations

import sys

from mesh.server import main
from svc_registry import bootstrap
from svc_registry.settings import RegistrySettings
from svc_registry.wiring import build

if __name__ == "__main__":
    if sys.argv[1:2] == [bootstrap.COMMAND]:
        bootstrap.main(sys.argv[2:])
    else:
        main("svc-registry", RegistrySettings, build)
