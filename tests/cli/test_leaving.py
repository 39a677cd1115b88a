"""A command's process ends at once, after all that has to be done before."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import atexit, sys, threading, time
from trimtab.cli.leaving import leave
{before}
atexit.register(lambda: print("at its end"))
sys.stdout.write("x" * 200_000 + "\\n")
leave({status})
"""


def ended(before: str = "", status: int = 0, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", SCRIPT.format(before=before, status=status)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize("status", [0, 2])
def test_what_was_written_arrives_and_what_was_registered_is_called(status):
    made = ended(status=status)
    assert made.returncode == status
    assert made.stdout.splitlines() == ["x" * 200_000, "at its end"]


def test_a_thread_that_still_works_is_waited_for():
    works = "threading.Thread(target=lambda: (time.sleep(1), print('it has worked'))).start()"
    made = ended(works)
    assert made.returncode == 0 and "it has worked" in made.stdout


def test_nothing_is_taken_apart():
    lasting = "class Slow:\n    def __del__(self): time.sleep(30)\nheld = Slow()"
    began = time.monotonic()
    assert ended(lasting).returncode == 0
    assert time.monotonic() - began < 25  # it would take half a minute


def test_output_that_cannot_be_written_is_no_success():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", SCRIPT.format(before="", status=0)]
        assert subprocess.run(command, stdout=full, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode != 0
