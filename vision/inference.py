"""One onnxruntime session, opened the same way everywhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

PROVIDERS: Final[Mapping[str, str]] = {
    "cpu": "CPUExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""Names that settings may use, and what onnxruntime calls them."""


ModelSource = Path | bytes
"""An ONNX file, or its bytes: those that were checked are those that run."""


class ProviderUnavailable(RuntimeError):  # noqa: N818
    """This build of onnxruntime cannot run on the execution provider that was asked for."""


class Session:
    """A loaded graph. Not to be shared between threads: one intra-op thread each, one session each."""

    def __init__(self, session: ort.InferenceSession) -> None:
        """Wraps a session that `open_session` made."""
        self._session = session

    @property
    def input_name(self) -> str:
        """Name of the graph's first input."""
        return str(self._session.get_inputs()[0].name)

    @property
    def output_width(self) -> int:
        """Length of the first output's last axis, e.g. an embedding's dimension."""
        return int(self._session.get_outputs()[0].shape[-1])

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Runs the graph once; `outputs` None means all, in the graph's order."""
        return list(self._session.run(outputs, dict(inputs)))


def open_session(model: ModelSource, provider: str = "cpu") -> Session:
    """Loads an ONNX graph to run on one thread: on a busy machine two threads per model are slower than one.

    Raises `ProviderUnavailable` for a provider that this build lacks: running silently on the CPU instead would show
    only as a machine that is mysteriously full.
    """
    name = PROVIDERS.get(provider)
    if name is None or name not in ort.get_available_providers():
        usable = sorted(key for key, value in PROVIDERS.items() if value in ort.get_available_providers())
        raise ProviderUnavailable(f"execution provider {provider!r} is not available here; usable: {', '.join(usable)}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    # The CPU provider always stands behind an accelerator, for the operators that it lacks.
    providers = [name] if provider == "cpu" else [name, PROVIDERS["cpu"]]
    return Session(ort.InferenceSession(source, sess_options=options, providers=providers))
