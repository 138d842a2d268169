"""Small files that are whole or absent, and private where they must be."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

SECRET = 0o600
PLAIN = 0o644


def write(path: Path, content: str, *, mode: int = PLAIN, durable: bool = False) -> None:
    """Replaces `path` in one step: readers see the old content or the new. The mode is set before the first byte."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        os.fchmod(descriptor, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`; None when there is no file. Raises ValueError, naming the file, when it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    return content
