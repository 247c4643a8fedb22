"""The rules: each module detects one kind of mistake, or one thing done right, and reports it as findings."""
