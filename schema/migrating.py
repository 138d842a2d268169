"""What the migrations share."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.schema import SchemaItem

from schema import roles
from schema.common import Xid8

# Alembic compares models with what it reads back, and SQLAlchemy has no xid8 of its own.
ischema_names["xid8"] = Xid8

FOLDER: Final = Path(__file__).parent / "migrations"

# Key of the advisory lock that lets one migration run at a time.
LOCK: Final = 0x666F6F7466616C6C  # "footfall"

NO_WAY_BACK: Final = (
    "there is no downgrade: dropping what was added would lose what people have put there since. "
    "Each release runs on the schema of the next (expand, then contract), so go back to the older release, "
    "or restore the backup."
)


def driver_url(url: str) -> str:
    """The URL with the driver that migrations use; the settings name none."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def config(url: str) -> Config:
    """Alembic's configuration for one database, without any file."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER))
    made.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return made


def run_script(connection: Connection, script: str) -> None:
    """Runs SQL of many statements, as psql would. Only the bare driver takes more than one statement at a time."""
    driver = connection.connection.driver_connection
    if driver is None:  # pragma: no cover - only for a connection that was closed
        raise RuntimeError("the connection is closed")
    driver.execute(script)


def compare_only_ours(
    _item: SchemaItem,
    name: str | None,
    kind: Literal[
        "schema", "table", "column", "index", "unique_constraint", "foreign_key_constraint", "check_constraint"
    ],
    reflected: bool,
    compare_to: SchemaItem | None,
) -> bool:
    """Alembic's include_object: partitions are made by a function, and the queue's tables are the queue's."""
    if not reflected or compare_to is not None or kind != "table" or name is None:
        return True
    return not name.startswith("face_events_") and name not in roles.QUEUE_TABLES
