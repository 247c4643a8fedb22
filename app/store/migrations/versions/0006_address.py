"""Record the address from which a run was started, as a digest, to share the store fairly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("address", sa.String(32)))


def downgrade() -> None:
    op.drop_column("runs", "address")
