"""Databases: Optuna's storage at an address, opened.

Optuna reads its migrations each time that it makes tables or looks whether they are those it knows, which takes longer
than a small study does. So a process has that done once for each version of them: further files begin as copies of the
first empty one, and files whose version was found to fit are taken as they are.
Knows addresses and Optuna's storage; it knows no studies.
"""

import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy

from trimtab import whole_file
from trimtab.errors import StudyError, first_line
from trimtab.settings.quiet import quiet_logs
from trimtab.text.wording import sentence
from trimtab.tuning.address import hidden_in, without_secrets

# Two searches that begin in an empty database at once both make its tables, and one of them fails: it tries again (a
# guess: making them takes tenths of a second).
TRIES, SECONDS_BETWEEN = 5, 0.3
MADE_BY_ANOTHER = ("already exists", "duplicate key", "Duplicate entry")


@dataclass
class _Seen:
    """What this process has had Optuna do: an SQLite file with its tables and no study, and the versions of tables
    that fit."""

    empty: bytes = b""
    fitting: set[str] = field(default_factory=set)


_seen = _Seen()


def opened(url: str) -> Any:
    """The RDB storage at `url`; raises StudyError where it cannot be opened."""
    file = _file_of(url)
    storage = _of_server(url) if file is None else _of_file(url, file)
    if url.startswith("sqlite"):
        _write_ahead(storage)
    return storage


def closed(storage: Any) -> None:
    """Close the connections of a storage."""
    storage.remove_session()
    storage.engine.dispose()


def said_by(error: BaseException, url: str) -> str:
    """What an error of a database's driver says, as a sentence without secrets."""
    cause = getattr(error, "orig", None) or error.__cause__ or error
    return sentence(hidden_in(first_line(getattr(cause, "orig", None) or cause), url))


def _not_opened(url: str, error: Exception) -> StudyError:
    return StudyError(f"The trial store {without_secrets(url)} cannot be opened: {said_by(error, url)}")


def _storage(url: str, **options: Any) -> Any:
    import optuna

    # A server may close connections that were idle for long.
    engine = {} if url.startswith("sqlite") else {"pool_pre_ping": True}
    # Optuna takes braces for a template.
    with quiet_logs("optuna"):
        return optuna.storages.RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=engine, **options)


def _of_server(url: str) -> Any:
    for left in reversed(range(TRIES)):
        try:
            return _storage(url)
        except Exception as error:
            if not left or not any(words in str(error) for words in MADE_BY_ANOTHER):
                raise _not_opened(url, error) from None
            time.sleep(SECONDS_BETWEEN)
    raise AssertionError


def _of_file(url: str, file: Path) -> Any:
    is_new = not file.exists()
    if is_new and _seen.empty:
        with suppress(OSError):  # somebody else has just made it, or Optuna's own words say why nobody can
            whole_file.make(file, _seen.empty)
    is_known = _version(file) in _seen.fitting
    try:
        storage = _storage(url, skip_table_creation=is_known, skip_compatibility_check=is_known)
    except Exception as error:
        raise _not_opened(url, error) from None
    if not is_known:
        _note(file, is_new=is_new)
    return storage


def _file_of(url: str) -> Path | None:
    """The SQLite file at `url`; None for anything else."""
    parts = sqlalchemy.make_url(url)
    name = parts.database or ""
    is_file = parts.get_backend_name() == "sqlite" and name and not name.startswith((":memory:", "file:"))
    return Path(name) if is_file else None


def _note(file: Path, *, is_new: bool) -> None:
    """Note what Optuna has just made, or found to fit."""
    if not (version := _version(file)):
        return
    _seen.fitting.add(version)
    if is_new and not _seen.empty:
        with suppress(sqlite3.Error), closing(sqlite3.connect(file)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # nobody writes a study while it is looked at
            if not connection.execute("SELECT count(*) FROM studies").fetchone()[0]:
                _seen.empty = connection.serialize()


def _version(file: Path) -> str:
    """The version of Optuna's tables in a file; "" where there are none that can be read."""
    if not file.is_file():
        return ""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    except (sqlite3.Error, TypeError):
        return ""


def _write_ahead(storage: Any) -> None:
    from sqlalchemy.exc import OperationalError

    try:
        with storage.engine.connect() as connection:
            connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
            connection.execute(sqlalchemy.text("PRAGMA synchronous=NORMAL"))
    except OperationalError:
        return  # a file that can only be read
