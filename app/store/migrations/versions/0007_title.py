"""Store the title that the owner of a run chose."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("title", sa.String(80)))


def downgrade() -> None:
    op.drop_column("runs", "title")
