"""Files of trials: made and looked at by Optuna once in a process, and afterwards as quick as copying them."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from trimtab.errors import StudyError
from trimtab.tuning import database
from trimtab.tuning.address import file_address

VERSIONS = "optuna.storages._rdb.storage._VersionManager"


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(database, "_seen", database._Seen())


@pytest.fixture
def migrations_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Notes how often Optuna looks for its newest tables."""
    read: list[str] = []
    original = optuna.storages._rdb.storage._VersionManager.get_head_version

    def noted(self: object) -> str:
        read.append("")
        return original(self)

    monkeypatch.setattr(f"{VERSIONS}.get_head_version", noted)
    return read


def make(path: Path) -> None:
    storage = database.opened(file_address(path))
    study = optuna.create_study(storage=storage, study_name="s")
    study.add_trial(optuna.create_trial(value=1.0, params={}, distributions={}))
    database.closed(storage)


def schema(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.execute("SELECT name, sql FROM sqlite_master").fetchall())


def test_the_second_file_of_a_process_is_a_copy_of_the_first_as_it_was_empty(
    tmp_path: Path, migrations_read: list
) -> None:
    make(tmp_path / "a.db")
    assert migrations_read
    migrations_read.clear()
    make(tmp_path / "b {c}.db")
    make(tmp_path / "b {c}2.db")
    assert not migrations_read
    assert schema(tmp_path / "a.db") == schema(tmp_path / "b {c}.db")
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".part"] == []
    # And Optuna itself finds nothing amiss with it.
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'b {c}2.db'}".replace("{", "{{").replace("}", "}}"))
    assert len(optuna.load_study(study_name="s", storage=storage).trials) == 1
    database.closed(storage)


def test_a_file_that_is_there_is_opened_as_it_is_where_its_version_was_found_to_fit(
    tmp_path: Path, migrations_read: list
) -> None:
    make(tmp_path / "a.db")
    migrations_read.clear()
    storage = database.opened(file_address(tmp_path / "a.db"))
    assert not migrations_read
    assert optuna.get_all_study_names(storage) == ["s"]
    database.closed(storage)


def test_a_file_of_other_tables_is_for_optuna_to_judge(tmp_path: Path) -> None:
    make(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
        connection.commit()
    with pytest.raises(StudyError, match="cannot be opened"):
        database.opened(file_address(tmp_path / "a.db"))


def test_a_file_that_holds_a_study_is_no_template(tmp_path: Path) -> None:
    make(tmp_path / "a.db")
    database._seen.empty = b""
    storage = database.opened(file_address(tmp_path / "a.db"))
    database.closed(storage)
    assert database._seen.empty == b""


def test_many_that_begin_one_file_at_once_find_each_others_studies(tmp_path: Path) -> None:
    make(tmp_path / "first.db")
    url = file_address(tmp_path / "shared.db")

    def begun(name: str) -> None:
        storage = database.opened(url)
        optuna.create_study(storage=storage, study_name=name)
        database.closed(storage)

    names = [f"s{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(begun, names))
    storage = database.opened(url)
    assert sorted(optuna.get_all_study_names(storage)) == names
    database.closed(storage)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    make(tmp_path / "a.db")
    with pytest.raises(StudyError, match="cannot be opened: unable to open database file"):
        database.opened(file_address(tmp_path / "nowhere" / "b.db"))


def test_what_is_no_file_goes_its_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a.db")
    monkeypatch.chdir(tmp_path)
    storage = database.opened("sqlite:///:memory:")
    assert optuna.get_all_study_names(storage) == []
    database.closed(storage)
    assert [each.name for each in tmp_path.iterdir()] == ["a.db"]
