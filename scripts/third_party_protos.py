"""Lay out the contracts that are not ours, for the compiler to read: google/api/* and buf/validate/validate.proto.

They go to ``third_party/`` (ignored by git), each a module of buf.yaml's workspace. google/api comes with the
googleapis-common-protos wheel that is installed anyway; validate.proto only with the source distribution of
protovalidate 1.2.0, pinned by hash in requirements/protos.txt.
"""

from __future__ import annotations

import importlib.resources
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "third_party"
GOOGLE_API = ("annotations.proto", "field_behavior.proto", "http.proto", "httpbody.proto")
VALIDATE = "proto/buf/validate/validate.proto"


def lay_out_google_api() -> None:
    """Copy the google/api files that our contracts import out of the installed wheel."""
    source = importlib.resources.files("google.api")
    target = TARGET / "googleapis" / "google" / "api"
    target.mkdir(parents=True, exist_ok=True)
    for name in GOOGLE_API:
        (target / name).write_bytes((source / name).read_bytes())


def lay_out_validate() -> None:
    """Fetch protovalidate's source distribution, by hash, and take the one file out of it."""
    target = TARGET / "protovalidate" / "buf" / "validate" / "validate.proto"
    if target.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
        command += ["--no-build-isolation", "--no-binary", "protovalidate"]
        command += ["-r", str(ROOT / "requirements" / "protos.txt"), "--dest", folder]
        subprocess.run(command, check=True)
        (archive,) = Path(folder).glob("protovalidate-*.tar.gz")
        with tarfile.open(archive) as tar:
            member = next(m for m in tar.getmembers() if m.name.endswith(VALIDATE))
            content = tar.extractfile(member)
            if content is None:
                raise FileNotFoundError(f"{member.name} in {archive.name} is not a file")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())


if __name__ == "__main__":
    lay_out_google_api()
    lay_out_validate()
