"""A protoc plugin that answers with the output of grpcio-tools' own compiler and of mypy-protobuf's.

buf cannot drive the ``grpc_python`` generator, which lives inside grpcio-tools and not in a plugin binary; this passes
buf's request on to it as a descriptor set and returns, for every file, messages (``_pb2.py``), services
(``_pb2_grpc.py``) and the typed stubs of both, async only.
"""

from __future__ import annotations

import importlib.resources
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc


def generate(request: plugin_pb2.CodeGeneratorRequest, folder: Path) -> plugin_pb2.CodeGeneratorResponse:
    """Compile ``request`` into ``folder`` and collect what was written.

    Files without services get no ``_pb2_grpc`` modules: they would be empty.
    """
    descriptors = folder / "in.binpb"
    descriptors.write_bytes(descriptor_pb2.FileDescriptorSet(file=request.proto_file).SerializeToString())
    out = folder / "out"
    out.mkdir()
    wanted = set(request.file_to_generate)
    with_services = sorted(file.name for file in request.proto_file if file.name in wanted and file.service)
    binaries = Path(sys.executable).parent
    include = str(importlib.resources.files("grpc_tools") / "_proto")
    common = ["protoc", f"--descriptor_set_in={descriptors}", f"--proto_path={include}"]
    runs = [
        [
            *common,
            f"--plugin=protoc-gen-mypy={binaries / 'protoc-gen-mypy'}",
            f"--python_out={out}",
            f"--mypy_out={out}",
            *sorted(wanted),
        ],
        [
            *common,
            f"--plugin=protoc-gen-mypy_grpc={binaries / 'protoc-gen-mypy_grpc'}",
            f"--grpc_python_out={out}",
            f"--mypy_grpc_out=only_async:{out}",
            *with_services,
        ],
    ]
    for run in runs:
        if run is runs[1] and not with_services:
            continue
        if protoc.main(run) != 0:
            raise SystemExit(f"protoc failed on {' '.join(run)}")
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    for path in sorted(out.rglob("*.py*")):
        response.file.add(name=str(path.relative_to(out)), content=path.read_text())
    return response


if __name__ == "__main__":
    incoming = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    with tempfile.TemporaryDirectory() as temporary:
        sys.stdout.buffer.write(generate(incoming, Path(temporary)).SerializeToString())
