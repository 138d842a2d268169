"""The queue: procrastinate's tables, from the package (see schema/queue.py)."""

from __future__ import annotations

from alembic import context, op

from schema import queue
from schema.migrating import NO_WAY_BACK, run_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script = ";\n".join(queue.statements())
    if context.is_offline_mode():
        op.execute(script)
    else:
        run_script(op.get_bind(), script)


def downgrade() -> None:
    raise NotImplementedError(NO_WAY_BACK)
