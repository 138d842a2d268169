"""All DDL as SQL text, made from the models: tables, indexes, comments, partitions, functions, policies, grants.

`python -m schema.render` prints it; `--write` freezes it as migration 0001 (until the first release: afterwards 0001
stands, and a change is a migration of its own).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement, SetColumnComment, SetTableComment

from schema import functions, roles, visits
from schema.common import SYSTEM_TENANT_ID, metadata

BASELINE = Path(__file__).parent / "migrations" / "versions" / "0001.sql"


def _table_statements() -> Iterator[str]:
    # A paramstyle without percent signs: otherwise every % of a CHECK comes out doubled.
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    for element in _elements():
        yield str(element.compile(dialect=dialect)).strip()


def _elements() -> Iterator[ExecutableDDLElement]:
    for table in metadata.sorted_tables:
        yield CreateTable(table)
        # A table's indexes are a set: by name, so that the script is the same every time.
        yield from (CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name)))
        yield SetTableComment(table)
        yield from (SetColumnComment(column) for column in table.columns if column.comment)


def _statements() -> Iterator[str]:
    yield from _table_statements()
    yield "CREATE TABLE face_events_default PARTITION OF face_events DEFAULT"
    yield from functions.statements()
    yield from visits.statements()
    for table in metadata.sorted_tables:
        yield from roles.policy_statements(table)
    yield from roles.policy_statements(metadata.tables["face_events"], "face_events_default")
    yield from roles.grant_statements()
    yield from functions.handover_statements()
    # The owner, too, sees and writes only the tenant that is set.
    yield f"SELECT set_config('app.tenant_id', '{SYSTEM_TENANT_ID}', true)"
    yield f"INSERT INTO tenants (id, display_name) VALUES ('{SYSTEM_TENANT_ID}', 'Footfall')"  # noqa: S608 - a constant


def render() -> str:
    """One script, to be run by footfall_owner in one transaction in an empty database whose roles exist."""
    lines = ["-- Made by `python -m schema.render --write` from schema/*.py. Do not edit.", ""]
    for statement in _statements():
        text = "\n".join(line.rstrip() for line in statement.splitlines())
        lines += [text if text.endswith(";") else f"{text};", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {BASELINE.name} instead of printing")
    if parser.parse_args().write:
        BASELINE.write_text(render(), encoding="utf-8")
    else:
        print(render())  # noqa: T201 - that is what it is for


if __name__ == "__main__":
    main()
