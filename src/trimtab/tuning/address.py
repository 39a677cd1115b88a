"""Address: the URL of a database that holds trials, and what of it may be written down or shown.

Knows URLs; it opens nothing.
"""

from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from trimtab.errors import OptionError

_HIDDEN = "***"
_SECRETS = ("pass", "pwd", "secret", "token", "key")


def checked_address(url: str) -> str:
    """`url` as it is opened, the path of an SQLite file made absolute; raises OptionError for what is no URL."""
    try:
        parts = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError, TypeError):
        raise OptionError(
            "--storage is not the URL of a database: write for example "
            "postgresql+psycopg://user@host/database, or sqlite:///trials.db."
        ) from None
    if parts.get_backend_name() != "sqlite" or not parts.database or parts.database.startswith((":memory:", "file:")):
        return url
    return file_address(Path(parts.database).resolve())


def file_address(path: Path) -> str:
    """The URL of an SQLite file, whatever characters its path has."""
    return sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def without_secrets(url: str) -> str:
    """`url` as it may be shown and kept: its password, and secrets among its options, are hidden."""
    try:
        parts = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError, TypeError):
        return _HIDDEN
    hidden = {name: _HIDDEN for name in parts.query if any(secret in name.lower() for secret in _SECRETS)}
    return parts.update_query_dict(hidden).render_as_string(hide_password=True)


def to_open(kept: str) -> str:
    """The URL to open of one that was kept without its secrets: the database's driver looks for them where it does by
    itself, as PostgreSQL's does in PGPASSWORD and ~/.pgpass."""
    parts = sqlalchemy.make_url(kept)
    if parts.password == _HIDDEN:
        # Only `_replace` can take a password away: `set` leaves out what is None.
        parts = parts._replace(password=None)
    query = {name: value for name, value in parts.query.items() if value != _HIDDEN}
    return parts.set(query=query).render_as_string(hide_password=False)


def hidden_in(text: str, url: str) -> str:
    """`text` without the secrets of `url`, for errors that drivers raise."""
    parts = sqlalchemy.make_url(url)
    secrets = [str(parts.password)] if parts.password else []
    secrets += [str(value) for name, value in parts.query.items() if any(secret in name.lower() for secret in _SECRETS)]
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text
