"""The metadata store: SQLAlchemy over SQLite or PostgreSQL, brought up to date by alembic."""
