"""Makes or upgrades the database, as a program of its own: `python -m stack.migrate < JSON`.

So the supervisor, which lives as long as the mesh, never loads SQLAlchemy and Alembic. The JSON object on stdin has the
keys `url` (superuser), `passwords` (by role) and `database`.
"""

from __future__ import annotations

import json
import sys

import psycopg
from alembic.util import CommandError

from schema.bootstrap import bootstrap


def main() -> None:
    """Exits with a sentence when the server refuses."""
    order = json.load(sys.stdin)
    try:
        bootstrap(order["url"], order["passwords"], database=order["database"])
    except (psycopg.Error, CommandError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
