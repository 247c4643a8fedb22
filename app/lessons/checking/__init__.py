"""Check a lesson of a teacher: its numbers, views, questions and tasks, and rewrite its numbers."""
