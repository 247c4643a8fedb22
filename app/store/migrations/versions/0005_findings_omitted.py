"""Add the codes of the rules that did not finish."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("findings_omitted", sa.LargeBinary))


def downgrade() -> None:
    op.drop_column("runs", "findings_omitted")
