"""What a Dask worker does with a cell, and what is said of workers."""

import threading

import pytest

from node_diag import __version__
from node_diag.cells import FAILED
from node_diag.cluster import _child, _in_turn, watch
from node_diag.errors import LostEngineError
from node_diag.workers import end_saying


def test_a_worker_that_came_later_with_another_version_ends_it():
    with pytest.raises(LostEngineError, match=rf"has node-diag {__version__}, this is 0.0.9"):
        _in_turn("0.0.9", "study", dict)


@pytest.mark.parametrize("lost", [False, True])
def test_that_no_worker_is_left_is_told_once_each_time(lost):
    over, told = threading.Event(), []
    looks = [{"a": 1}, {}, {}, {"b": 1}, {}]

    def workers():
        if not looks:
            over.set()
            if lost:
                raise OSError
            return {}
        return looks.pop(0)

    watch(workers, lambda: told.append(len(looks)), over, every=0)
    assert told == [3, 0]


def give_up():
    end_saying("whatever it is called", "it took too long")


def test_the_process_of_a_worker_says_why_it_ended_itself():
    try:
        found = _in_turn(__version__, "study", give_up)
        assert found == {FAILED: "it took too long"}
        assert _in_turn(__version__, "study", dict) == {}  # in another process
    finally:
        _child.drop()
