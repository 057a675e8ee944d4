"""Alembic's entry: runs on the connection it is handed, or writes down what it would do."""

from alembic import context

from talksy.database.tables import metadata

if context.is_offline_mode():
    context.configure(
        dialect_name=context.config.attributes["dialect"],
        target_metadata=metadata,
        literal_binds=True,
        # SQLite's, too, can be taken back.
        transactional_ddl=True,
    )
else:
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
