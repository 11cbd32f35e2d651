"""Alembic's entry: migrate over the connection that db/version.py holds, inside its transaction."""

from alembic import context

from db.schema import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, transactional_ddl=True
)
context.run_migrations()
