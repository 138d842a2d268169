"""Everything of the first release: tables, functions, policies and grants, rendered from the models and frozen.

Until that release `python -m schema.render --write` makes 0001.sql anew; from then on it stands as it is.
"""

from __future__ import annotations

from pathlib import Path

from alembic import context, op

from schema.migrating import NO_WAY_BACK, run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    script = Path(__file__).with_name("0001.sql").read_text(encoding="utf-8")
    if context.is_offline_mode():
        op.execute(script)
    else:
        run_script(op.get_bind(), script)


def downgrade() -> None:
    raise NotImplementedError(NO_WAY_BACK)
