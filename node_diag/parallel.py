"""Work on two cores, by forking; in this process alone where that cannot be."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

Tasks = Mapping[str, Callable[[], Any]]
_children: set[int] = set()
"""Those at work."""
_groups: set[int] = set()
"""Those that lead a process group."""


def compute(
    tasks: Tasks,
    progress: Callable[[str], None] = lambda _: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Result of every task, by name. A forked child shares the work if there are two cores.

    Both processes take the next task as they finish one. The child inherits everything, so nothing
    has to be pickled but its results; whatever goes wrong in it is computed again here, so that
    errors surface where they would have.

    Args:
        tasks: thunks by name, at most 255; the longest ones first. Results must be picklable.
        progress: told the name of each task as it is taken; of the child's, when this process
            takes one itself.
        meanwhile: something that this process is to do itself, such as an import, before it takes
            a task.
    """
    if len(tasks) < 2 or not _can_fork():
        meanwhile()
        return _work(tasks, iter(tasks), progress)
    names = list(tasks)
    queue, feed = os.pipe()
    os.write(feed, bytes(range(len(names))))
    os.close(feed)
    news, told = os.pipe()
    os.set_blocking(news, False)
    child, results = _fork(tasks, names, queue, told)
    os.close(told)
    threads = _one_thread()

    def both(name: str) -> None:
        _pass_on(news, names, progress)
        progress(name)

    try:
        meanwhile()
        done = _work(tasks, _claims(queue, names), both)
        _pass_on(news, names, progress)
        with os.fdopen(os.dup(results), "rb") as pipe:
            payload = pipe.read()
        _, status = os.waitpid(child, 0)
        _children.discard(child)
    finally:
        _restore(threads)
        for pipe in (queue, results, news):
            os.close(pipe)
        _end(child)  # interrupted: leave no child behind
    for name, result in (pickle.loads(payload) if status == 0 else {}).items():
        # What cannot be unpickled (a user's class that delegates everything) is computed here.
        with contextlib.suppress(Exception):
            done[name] = pickle.loads(result)
    missing = {name: tasks[name] for name in names if name not in done}
    done |= _work(missing, iter(missing), progress)
    return {name: done[name] for name in names}


class Ahead:
    """A child that gets ready for a task, and then waits for its input.

    Forked while this process is small, it uses the core that stands idle while this one imports.
    """

    def __init__(self, prepare: Callable[[], Callable[[Any], Any]]) -> None:
        """``prepare`` is called in the child; what it returns turns an input into a result.

        Inputs and results must be picklable. See :func:`can_get_ahead`.
        """
        requests, self._requests = os.pipe()
        self._results, results = os.pipe()
        self._child = _forked()
        if self._child == 0:
            os.close(self._requests)
            os.close(self._results)
            os.setpgid(0, 0)  # with its own children, to be ended together
            _leave(lambda: _answer(prepare, requests, results))
        with contextlib.suppress(OSError):
            os.setpgid(self._child, self._child)  # here too, or it might be ended before it did
        _children.add(self._child)
        _groups.add(self._child)
        os.close(requests)
        os.close(results)

    def ask(self, request: Any) -> Any:
        """What the task makes of the input; for once only.

        Raises:
            ChildProcessError: the child could not do it.
        """
        try:
            with os.fdopen(self._requests, "wb") as pipe:
                pipe.write(pickle.dumps(request))
        except BrokenPipeError as error:
            raise ChildProcessError("the child ended before it was asked") from error
        with os.fdopen(os.dup(self._results), "rb") as pipe:
            payload = pipe.read()
        _, status = os.waitpid(self._child, 0)
        _children.discard(self._child)
        if status:
            raise ChildProcessError(f"the child ended with status {status}")
        return pickle.loads(payload)

    def end(self) -> None:
        """End the child, asked or not."""
        _end(self._child)
        with contextlib.suppress(OSError):
            os.close(self._requests)
        os.close(self._results)


def can_get_ahead() -> bool:
    """Whether there is a core to use meanwhile, and torch is still to be imported."""
    return "torch" not in sys.modules and _can_fork()


def _answer(prepare: Callable[[], Callable[[Any], Any]], requests: int, results: int) -> None:
    task = prepare()
    with os.fdopen(requests, "rb") as pipe:
        payload = pipe.read()
    if payload:  # else the parent is gone, or does not want it
        answer = pickle.dumps(task(pickle.loads(payload)))
        with os.fdopen(results, "wb") as pipe:
            pipe.write(answer)


def end_children() -> None:
    """End every child that is still at work."""
    for child in list(_children):
        _end(child)


def _end(child: int) -> None:
    if child in _children:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            (os.killpg if child in _groups else os.kill)(child, signal.SIGKILL)
            os.waitpid(child, 0)
        _children.discard(child)


def _work(tasks: Tasks, names: Any, progress: Callable[[str], None]) -> dict[str, Any]:
    done: dict[str, Any] = {}
    for name in names:
        progress(name)
        done[name] = tasks[name]()
    return done


def _pass_on(news: int, names: list[str], progress: Callable[[str], None]) -> None:
    """Tell what the child has taken since."""
    with contextlib.suppress(BlockingIOError):
        while taken := os.read(news, len(names)):
            for token in taken:
                progress(names[token])


def _claims(queue: int, names: list[str]) -> Any:
    """Names not yet taken: a byte read from the shared pipe is a task taken."""
    while token := os.read(queue, 1):
        yield names[token[0]]


def _one_thread() -> int:
    """Let torch compute in one thread, and say how many there were.

    Two processes with two threads each on two cores wait for each other at every operation.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return 0
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    return before


def _restore(threads: int) -> None:
    if threads:
        sys.modules["torch"].set_num_threads(threads)


def _can_fork() -> bool:
    """Fork on Linux with two cores and no GPU context, which does not survive a fork."""
    torch = sys.modules.get("torch")
    if not sys.platform.startswith("linux") or (torch and torch.cuda.is_initialized()):
        return False
    # Threads at work, and the locks they hold, do not come along.
    if sum(not thread.daemon for thread in threading.enumerate()) > 1:
        return False
    return len(os.sched_getaffinity(0)) > 1


def _forked() -> int:
    """As os.fork, with nothing waiting to be printed twice and no children in the child."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads; the child runs one and takes no lock of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _children.clear()
    return child


def _fork(tasks: Tasks, names: list[str], queue: int, told: int) -> tuple[int, int]:
    """The child's process id, and where its results will come."""
    results, out = os.pipe()
    child = _forked()
    if child == 0:
        os.close(results)
        _leave(lambda: _serve(tasks, names, (queue, told, out)))
    _children.add(child)
    os.close(out)
    return child, results


def _serve(tasks: Tasks, names: list[str], pipes: tuple[int, int, int]) -> None:
    """Take tasks from the first pipe, tell the second which, and send all results to the third."""
    queue, told, out = pipes
    _one_thread()  # OpenMP's threads do not survive a fork; with one none are asked for
    done: dict[str, bytes] = {}
    for name in _claims(queue, names):
        os.write(told, bytes([names.index(name)]))
        with contextlib.suppress(Exception):  # the parent computes it again and shows why
            done[name] = pickle.dumps(tasks[name]())
    payload = pickle.dumps(done)
    with os.fdopen(out, "wb") as pipe:
        pipe.write(payload)


def _leave(after: Callable[[], None]) -> NoReturn:
    """In the child: do this, and leave without running anybody's exit handlers."""
    code = 1
    try:
        # The parent kills this process when it is interrupted itself.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        after()
        code = 0
    except BaseException:
        pass
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
