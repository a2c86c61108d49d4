"""Sharing work with a forked child."""

import os
import signal
import time
from pathlib import Path

import pytest

from node_diag import parallel


def test_every_result_once_in_order():
    tasks = {str(i): (lambda i=i: i * i) for i in range(40)}
    assert list(parallel.compute(tasks).items()) == [(str(i), i * i) for i in range(40)]


def test_every_task_is_told_whoever_takes_it():
    told = []
    parallel.compute({str(i): (lambda: time.sleep(0.02)) for i in range(9)}, told.append)
    assert sorted(told) == [str(i) for i in range(9)]


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


def test_a_child_that_got_ready_answers_once():
    ahead = parallel.Ahead(lambda: lambda request: (request, os.getpid()))
    request, child = ahead.ask({"a": list(range(100_000))})
    ahead.end()
    assert request == {"a": list(range(100_000))}
    assert child != os.getpid()


@pytest.mark.parametrize("when", ["getting ready", "asked", "sending"])
def test_a_child_that_cannot_answer_says_so(when):
    def prepare():
        if when == "getting ready":
            raise ValueError

        def answer(_):
            if when == "asked":
                os.kill(os.getpid(), signal.SIGKILL)
            return lambda: "no function can be pickled"

        return answer

    ahead = parallel.Ahead(prepare)
    with pytest.raises(ChildProcessError):
        ahead.ask(b"x" * 1_000_000)  # more than a pipe holds
    ahead.end()


def _is_gone(child):
    """Whether a process has ended, within a while; a grandchild is somebody else's to wait for."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            stat = Path(f"/proc/{child}/stat").read_text()
        except FileNotFoundError:
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_a_child_that_is_not_asked_ends_with_its_own_children():
    read, write = os.pipe()

    def prepare():
        grandchild = os.fork()
        if grandchild == 0:
            signal.pause()
        os.write(write, f"{os.getpid()} {grandchild}\n".encode())
        signal.pause()

    ahead = parallel.Ahead(prepare)
    with os.fdopen(read) as pipe:
        processes = [int(word) for word in pipe.readline().split()]
    os.close(write)
    ahead.end()
    assert all(_is_gone(process) for process in processes)


def test_a_child_that_got_ready_ends_with_its_parent():
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        ahead = parallel.Ahead(lambda: lambda request: request)
        os.write(write, f"{ahead._child}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    with os.fdopen(read) as pipe:
        child = int(pipe.readline())
    os.close(write)
    assert _is_gone(child)


class Delegate:
    """As users write it; unpickling one looks for attributes before there is an inner."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_results_that_cannot_be_unpickled_are_computed_here():
    results = parallel.compute({str(i): (lambda: Delegate(7)) for i in range(6)})
    assert [result.inner for result in results.values()] == [7] * 6


def test_one_result_that_cannot_be_pickled_costs_no_other(tmp_path):
    runs = tmp_path / "runs"

    def task(name):
        with runs.open("a") as file:
            file.write(f"{name} {os.getpid()}\n")
        time.sleep(0.02)
        return (lambda: name) if name in "01" else name  # one for each process

    results = parallel.compute({str(i): lambda i=i: task(str(i)) for i in range(8)})
    lines = [line.split() for line in runs.read_text().splitlines()]
    assert len({process for _, process in lines}) == 2
    assert sorted(name for name, _ in lines if name not in "01") == [str(i) for i in range(2, 8)]
    assert results["0"]() == "0"
    assert results["7"] == "7"
