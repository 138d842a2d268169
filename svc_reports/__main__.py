"""python -m svc_reports"""

from mesh.server import main
from svc_reports.settings import ReportsSettings
from svc_reports.wiring import NAME, build

if __name__ == "__main__":
    main(NAME, ReportsSettings, build)
