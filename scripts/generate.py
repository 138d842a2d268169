"""Everything that is generated from ``proto/``, in one run: ``make gen``. With ``--check``, say what is stale instead.

=========================  ==============================================================================
gen/footfall, gen/buf      google protobuf (upb) messages, async gRPC services, their type stubs
gen/footfall_messages      betterproto2 dataclasses for edge_agent and footfall_client
gen/footfall.binpb         the descriptor set, imports included: Envoy's transcoder reads it
web/src/gen                the browser's TypeScript
docs/openapi.json          OpenAPI 3.1 of the JSON API
docs/schemas               JSON Schemas of the messages that integrators store
=========================  ==============================================================================
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = ROOT / "node_modules" / ".bin" / "buf"
OUTPUTS = ("gen", "web/src/gen", "docs/openapi.json", "docs/schemas")
PYTHON_ONLY = (
    '{"version": "v2", "plugins": [{"local": [".venv/bin/python", "scripts/protoc_gen_python.py"],'
    ' "out": "gen", "strategy": "all"}]}'
)


def run(*command: str | Path) -> None:
    """Run one tool from the repository's root with the virtual environment first on PATH (betterproto2 calls ruff)."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env={**os.environ, "PATH": path})


def generate(out: Path) -> None:
    """Write all outputs below ``out``, laid out as in the repository."""
    run(sys.executable, "scripts/third_party_protos.py")
    run(BUF, "generate", "proto", "--output", out)
    # Our Python modules import buf.validate's; google's come with the googleapis wheel.
    run(BUF, "generate", "third_party/protovalidate", "--template", PYTHON_ONLY, "--output", out)
    run(BUF, "build", "proto", "--exclude-source-info", "--output", out / "gen" / "footfall.binpb")
    with_comments = out / "with_comments.binpb"
    run(BUF, "build", "proto", "--output", with_comments)
    (out / "docs" / "schemas").mkdir(parents=True)
    run(sys.executable, "-m", "scripts.openapi", with_comments, out / "docs" / "openapi.json")
    run(sys.executable, "-m", "scripts.json_schemas", with_comments, out / "docs" / "schemas")


def files_of(root: Path) -> dict[str, Path]:
    """Every generated file below ``root`` by its path from there."""
    found: dict[str, Path] = {}
    for output in OUTPUTS:
        place = root / output
        candidates = [place] if place.is_file() else sorted(place.rglob("*"))
        found.update(
            {
                str(path.relative_to(root)): path
                for path in candidates
                if path.is_file() and "__pycache__" not in path.parts
            }
        )
    return found


def stale(fresh: Path) -> list[str]:
    """Paths that the repository lacks, has changed, or should no longer have."""
    new, old = files_of(fresh), files_of(ROOT)
    changed = [path for path in new if path in old and not filecmp.cmp(new[path], old[path], shallow=False)]
    return sorted(changed + [path for path in new if path not in old] + [path for path in old if path not in new])


def swap_in(fresh: Path) -> None:
    """Replace the repository's outputs, file by file, so that whoever is reading them meanwhile finds them."""
    new = files_of(fresh)
    for path in files_of(ROOT).keys() - new.keys():
        (ROOT / path).unlink()
    for path, source in new.items():
        target = ROOT / path
        if not target.exists() or not filecmp.cmp(source, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def main() -> int:
    """Generate, or check; the exit status is 1 when something is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when generated files are stale")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if not check:
            swap_in(fresh)
            return 0
        differing = stale(fresh)
    for path in differing:
        print(f"stale: {path} (run `make gen`)")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
