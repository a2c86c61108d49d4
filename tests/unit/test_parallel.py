"""Sharing work with a forked child."""

import os
import signal

import pytest

from node_diag import parallel


def test_every_result_once_in_order():
    tasks = {str(i): (lambda i=i: i * i) for i in range(40)}
    assert list(parallel.compute(tasks).items()) == [(str(i), i * i) for i in range(40)]


def test_errors_surface_here():
    def fail():
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        parallel.compute({"a": fail, "b": fail, "c": lambda: 1})


def test_results_that_cannot_be_pickled_are_computed_here():
    results = parallel.compute({str(i): (lambda: lambda: 7) for i in range(6)})
    assert [result() for result in results.values()] == [7] * 6


def test_a_child_that_dies_loses_nothing():
    parent = os.getpid()

    def die_in_the_child():
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    assert parallel.compute({"a": die_in_the_child, "b": die_in_the_child}) == {
        "a": parent,
        "b": parent,
    }


def test_an_interruption_leaves_no_child(monkeypatch):
    parent = os.getpid()
    children = []  # this process may have others, such as a browser
    monkeypatch.setattr(os, "fork", lambda fork=os.fork: children.append(fork()) or children[-1])

    def interrupt():
        if os.getpid() == parent:
            raise KeyboardInterrupt
        signal.pause()

    with pytest.raises(KeyboardInterrupt):
        parallel.compute({"a": interrupt, "b": interrupt, "c": interrupt})
    (child,) = children
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


def test_one_core_works_alone(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert parallel.compute({"a": os.getpid, "b": os.getpid}) == {
        "a": os.getpid(),
        "b": os.getpid(),
    }
