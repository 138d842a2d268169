"""The visit fold."""

from collections.abc import Iterator


def statements() -> Iterator[str]:
    yield from ()
