import os
import sys
import threading

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from process_state import in_another_thread
from trimtab.machine import as_before_compiling, lanes_in_threads, one_blas_thread


@pytest.fixture
def two_threads():
    """torch with two threads, in this thread and in new ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def overlapping(context, read):
    """What `read` gives in two threads before, within and after `context`, which the first enters and leaves first."""
    steps = [threading.Event() for _ in range(4)]
    seen, both_have_read = [[], []], threading.Barrier(2)

    def run(number):
        seen[number].append(read())
        both_have_read.wait()
        if number:
            steps[0].wait(5)
        with context():
            steps[number].set()
            steps[1 + number].wait(5)
            seen[number].append(read())
        steps[2 + number].set()
        steps[3].wait(5)
        seen[number].append(read())

    threads = [threading.Thread(target=run, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def test_studies_that_overlap_in_two_threads_leave_each_its_torch_threads(two_threads):
    assert overlapping(lanes_in_threads, torch.get_num_threads) == [[2, 1, 2], [2, 1, 2]]
    assert torch.get_num_threads() == in_another_thread(torch.get_num_threads) == 2


def test_threads_of_the_caller_that_begin_meanwhile_have_as_many_as_ever(two_threads):
    with lanes_in_threads():
        assert torch.get_num_threads() == 1
        assert in_another_thread(torch.get_num_threads) == 2
    assert torch.get_num_threads() == 2


def test_the_switch_interval_is_as_before_when_studies_overlap():
    before = sys.getswitchinterval()
    seen = overlapping(lanes_in_threads, sys.getswitchinterval)
    assert seen[0][1] == seen[1][1] < before == sys.getswitchinterval() == seen[0][2]


def blas_threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def limited_to_one():
    with threadpool_limits(1, user_api="blas"):
        return blas_threads()


def test_the_threads_of_blas_are_as_before_when_baselines_overlap():
    before = blas_threads()
    # Where a thread that is still there has once set a limit, threadpoolctl heeds that one alone.
    reached = in_another_thread(limited_to_one)
    for _ in range(2):
        seen = overlapping(one_blas_thread, blas_threads)
        assert seen[0][1] == seen[1][1] == reached and seen[1][2] == blas_threads() == before


def test_what_the_compiler_of_torch_sets_is_put_back(monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    limit, named = sys.getrecursionlimit(), set(os.environ)
    with as_before_compiling():
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = "/somewhere"
        sys.setrecursionlimit(limit + 1000)
    assert sys.getrecursionlimit() == limit and set(os.environ) == named
