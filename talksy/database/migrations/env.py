"""Alembic's entry: runs on the connection it is handed."""

from alembic import context

from talksy.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
