from pathlib import Path

import pytest

from trimtab.errors import OptionError
from trimtab.tuning.address import checked_address, file_address, hidden_in, to_open, without_secrets

URL = "postgresql+psycopg://me:se%40cret@host:5432/db?sslmode=require&sslpassword=other"


def test_secrets_are_hidden_and_the_rest_is_kept():
    kept = without_secrets(URL)
    assert "cret" not in kept and "other" not in kept
    assert kept.startswith("postgresql+psycopg://me:***@host:5432/db") and "sslmode=require" in kept
    assert to_open(kept) == "postgresql+psycopg://me@host:5432/db?sslmode=require"


@pytest.mark.parametrize("plain", ["postgresql+psycopg://me@host/db", "sqlite:////data/trials.db"])
def test_an_address_without_secrets_is_kept_as_it_is(plain):
    assert without_secrets(plain) == plain == to_open(plain) == checked_address(plain)


def test_what_is_given_is_opened_with_its_secrets():
    assert checked_address(URL) == URL


def test_an_sqlite_file_is_the_same_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_address("sqlite:///trials.db") == file_address(tmp_path / "trials.db")
    assert checked_address("sqlite:///:memory:") == "sqlite:///:memory:"


@pytest.mark.parametrize("name", ["a b", "what?", "50%20", "#1", "{x}", "ü", "user:word@x"])
def test_a_path_is_an_address_whatever_its_characters(name):
    from sqlalchemy import make_url

    assert make_url(file_address(Path("/runs") / name / "study.db")).database == f"/runs/{name}/study.db"


@pytest.mark.parametrize("wrong", ["nonsense", "", "host/db:secret", "postgresql//me:secret@host"])
def test_what_is_no_address_is_refused_without_repeating_it(wrong):
    with pytest.raises(OptionError, match="not the URL of a database") as refused:
        checked_address(wrong)
    assert "secret" not in str(refused.value) and without_secrets(wrong) == "***"


def test_what_a_driver_says_is_told_without_secrets():
    assert hidden_in("no entry for se@cret, other", URL) == "no entry for ***, ***"
