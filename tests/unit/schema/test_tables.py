"""What every table keeps to, whoever adds the next one."""

from __future__ import annotations

import pytest
from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import TIMESTAMP

from schema import render
from schema.common import SERVICES, metadata
from schema.roles import is_tenant_table

TABLES = sorted(metadata.tables.values(), key=lambda table: table.name)
everything = pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])


@everything
def test_it_belongs_to_one_service_and_says_what_it_is_for(table: Table) -> None:
    assert table.info["service"] in SERVICES
    assert table.comment
    assert table.comment.endswith(".")


@everything
def test_its_times_know_their_zone_and_end_in_time(table: Table) -> None:
    for column in table.columns:
        if isinstance(column.type, TIMESTAMP):
            assert column.type.timezone, column.name
            assert column.name.endswith("_time"), column.name


@everything
def test_its_keys_begin_with_the_tenant(table: Table) -> None:
    if not is_tenant_table(table) or table.name == "tenants":
        return
    assert table.primary_key.columns[0].name == "tenant_id"
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            assert constraint.columns[0].name == "tenant_id"
    for index in table.indexes:
        # Sign-in looks a credential up before it knows whose it is.
        first = getattr(index.expressions[0], "name", None)
        assert first == "tenant_id" or str(index.name).endswith("_sign_in_idx"), index.name
    for key in table.foreign_key_constraints:
        assert key.column_keys[0] == "tenant_id"


def test_the_script_is_the_same_at_every_rendering() -> None:
    assert render.render() == render.render()


def test_the_baseline_is_up_to_date() -> None:
    # Until the first release; then this test goes, and 0001 stands.
    assert render.BASELINE.read_text(encoding="utf-8") == render.render(), "run `python -m schema.render --write`"
