"""Store events in blocks, packed by columns, instead of one by one. Delete all runs: they are from before the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("events")
    op.execute("DELETE FROM runs")
    op.create_table(
        "blocks",
        sa.Column("run", sa.Integer, sa.ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        sa.Column("first", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("graph_first", sa.Integer, nullable=False),
        sa.Column("graph_count", sa.Integer, nullable=False),
        sa.Column("pass_first", sa.Integer, nullable=False),
        sa.Column("pass_count", sa.Integer, nullable=False),
        sa.Column("step_first", sa.Integer, nullable=False),
        sa.Column("step_count", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("blocks")
    op.execute("DELETE FROM runs")
    op.create_table(
        "events",
        sa.Column("run", sa.Integer, sa.ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("deflated", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
