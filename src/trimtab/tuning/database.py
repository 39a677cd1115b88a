"""Databases: Optuna's storage at an address, opened.

Optuna reads its migrations each time that it makes tables or looks whether they are those it knows, which takes longer
than a small study does. So a process has that done once for each version of them: further files begin as copies of the
first empty one, and files whose version was found to fit are taken as they are.
Knows addresses and Optuna's storage; it knows no studies.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy

from trimtab import whole_file
from trimtab.errors import StudyError, first_line
from trimtab.settings.quiet import quiet_logs
from trimtab.text.wording import sentence
from trimtab.tuning.address import hidden_in, without_secrets

# Two searches that begin in an empty database at once both make its tables, and one of them fails: it tries again (a
# guess: making them takes tenths of a second).
TRIES, SECONDS_BETWEEN = 5, 0.3
# How often one looks whether a server is back (a guess).
SECONDS_BETWEEN_LOOKS = 1.0
MADE_BY_ANOTHER = ("already exists", "duplicate key", "Duplicate entry")

Result = TypeVar("Result")


@dataclass
class _Seen:
    """What this process has had Optuna do: an SQLite file with its tables and no study, and the versions of tables
    that fit."""

    empty: bytes = b""
    fitting: set[str] = field(default_factory=set)


_seen = _Seen()


def opened(url: str, *, patience: float = 0.0) -> Any:
    """The RDB storage at `url`; raises StudyError where it cannot be opened, a server not within so many seconds."""
    file = _file_of(url)
    storage = _of_server(url, patience) if file is None else _of_file(url, file)
    if url.startswith("sqlite"):
        _write_ahead(storage)
    return storage


def closed(storage: Any) -> None:
    """Close the connections of a storage."""
    storage.remove_session()
    storage.engine.dispose()


@contextmanager
def held_by_one(url: str | None, name: str) -> Iterator[None]:
    """The study `name` in the database of a server for this call alone, wherever others are at work; the server takes
    the lock back when the connection ends. Raises StudyError where another call has it.

    A folder has a lock of its own; copies of it on two machines have none in common but this.
    """
    if url is None or sqlalchemy.make_url(url).get_backend_name() != "postgresql":
        yield
        return
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    try:
        try:
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            is_free = connection.execute(sqlalchemy.text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar()
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _not_opened(url, error) from None
        if not is_free:
            connection.close()
            raise StudyError(
                f"Another search is at work on the study {name} in {without_secrets(url)}: wait until it has ended."
            )
        try:
            yield
        finally:
            with suppress(sqlalchemy.exc.SQLAlchemyError):  # the server may have gone meanwhile
                connection.close()
    finally:
        engine.dispose()


def is_away(error: BaseException | None) -> bool:
    """Whether an error says that a server cannot be reached, which may be over soon."""
    while error is not None:
        if isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)):
            return True
        if isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated:
            return True
        error = error.__cause__
    return False


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


def patiently(act: Callable[[], Result], patience: float) -> Result:
    """What `act` gives; while a server is away, for it may be started again, it is tried anew for so many seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            return act()
        except Exception as error:
            if not is_away(error) or time.monotonic() > until:
                raise
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _of_server(url: str, patience: float) -> Any:
    for left in reversed(range(TRIES)):
        try:
            return patiently(lambda: _storage(url), patience)
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
