"""What Waferlag remembers: scenarios, runs, plans, schedules. SQLAlchemy's and Alembic's only home."""
