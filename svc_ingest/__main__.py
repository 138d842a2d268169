"""python -m svc_ingest"""

from mesh.server import main
from svc_ingest.settings import IngestSettings
from svc_ingest.wiring import NAME, build

if __name__ == "__main__":
    main(NAME, IngestSettings, build)
