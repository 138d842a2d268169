"""python -m svc_identity"""

from mesh.server import main
from svc_identity.settings import IdentitySettings
from svc_identity.wiring import NAME, build

if __name__ == "__main__":
    main(NAME, IdentitySettings, build)
