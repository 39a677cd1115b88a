"""A file appears whole or not at all, and what a killed process has left is in nobody's way."""

import threading

import pytest

from trimtab.errors import DataError
from trimtab.whole_file import beside, make, replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_the_end_alone(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with replacing(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new" and names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_goes_wrong_leaves_the_old_file_and_nothing_beside_it(tmp_path, is_shared, error):
    target = tmp_path / "a.json"
    target.write_text("old")

    def fail():
        with replacing(target, is_shared=is_shared) as part:
            part.write_text("ne")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old" and names(tmp_path) == ["a.json"]


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    target = tmp_path / "a.json"
    with replacing(target) as part:
        part.write_text("new, but killed")
        left = part.read_bytes()
        place = part
    place.write_bytes(left)
    with replacing(target) as part:
        part.write_text("newer")
    assert target.read_text() == "newer" and names(tmp_path) == ["a.json"]


def test_several_who_write_one_file_at_once_have_a_part_each(tmp_path):
    def write():
        with replacing(tmp_path / "a.json", is_shared=True) as part:
            parts.append(part)
            both_write.wait(30)
            part.write_text("whole")

    parts, both_write = [], threading.Barrier(2)
    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(parts)) == 2 and (tmp_path / "a.json").read_text() == "whole" and names(tmp_path) == ["a.json"]


def test_a_file_that_somebody_has_made_first_stays_as_it_is(tmp_path):
    make(tmp_path / "a.db", b"first")
    with pytest.raises(FileExistsError):
        make(tmp_path / "a.db", b"second")
    assert (tmp_path / "a.db").read_bytes() == b"first" and names(tmp_path) == ["a.db"]


def test_what_a_user_names_and_cannot_be_written_is_said(tmp_path):
    for place, words in ((tmp_path, "it is a folder"), (tmp_path / "nowhere" / "a", "No such file")):
        with pytest.raises(DataError, match=words), beside(place):
            pass
