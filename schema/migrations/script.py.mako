"""${message}

Revision: ${up_revision}, after ${down_revision | comma,n}
Date: ${create_date}
"""

from __future__ import annotations

from alembic import op

from schema.migrating import NO_WAY_BACK

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Expand first, contract a release later: the version before must still run on this schema.
    ${upgrades if upgrades else "raise NotImplementedError"}


def downgrade() -> None:
    raise NotImplementedError(NO_WAY_BACK)
