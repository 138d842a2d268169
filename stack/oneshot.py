"""Programs that are run once during a start: their secrets go through stdin, their last words into the error."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 90.0
_WORDS = 1500


class OneShotError(Exception):
    """The program failed; the message is the end of its output."""


async def run(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: str = "") -> str:
    """Its output. Others see arguments and environments, so secrets belong into `stdin`. Raises OneShotError."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(SECONDS):
            raw, _ = await process.communicate(stdin.encode())
    except TimeoutError:
        raise OneShotError(f"not done after {SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    output = raw.decode(errors="replace").strip()
    if process.returncode != 0:
        raise OneShotError(output[-_WORDS:] or f"exit {process.returncode}")
    return output
