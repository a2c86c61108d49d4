"""Cells are computed once, whatever interrupts them, and a failing one stops no other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from node_diag.cells import ATTEMPTS, FAILED, Cell, Engine, Store, name_of, run, stamp_of
from node_diag.workers import end_saying


def double(x: int, folder: str) -> dict[str, int]:
    """Leaves a mark for every time it is called."""
    (Path(folder) / f"{x}-{time.time_ns()}").touch()
    return {"double": 2 * x}


def fragile(x: int, folder: str) -> dict[str, int]:
    """Odd cells take their process down, each time."""
    (Path(folder) / f"{x}-{time.time_ns()}").touch()
    if x % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"double": 2 * x}


def fails(x: int, folder: str) -> dict[str, int]:
    raise ValueError(f"no {x}")


class Here(Executor):
    """Computes in this process, which tests of the store need no others for."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


HERE = Engine("here", Here, stop=lambda pool: None, at_once=1)


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def cells(marks: Path, n: int = 4) -> list[Cell]:
    return [Cell(f"cell{x}", {"x": x, "folder": str(marks)}) for x in range(n)]


def test_a_cell_is_computed_once(tmp_path: Path, marks: Path) -> None:
    store = Store(tmp_path / "cells", "v1")
    first = {c.key: r for c, r in run(cells(marks), double, store, HERE)}
    again = {c.key: r for c, r in run(cells(marks), double, store, HERE)}
    assert first == again == {f"cell{x}": {"double": 2 * x} for x in range(4)}
    assert len(list(marks.iterdir())) == 4


def test_an_interrupted_study_goes_on_where_it_was(tmp_path: Path, marks: Path) -> None:
    store = Store(tmp_path / "cells", "v1")
    running = run(cells(marks), double, store, HERE)
    next(running)
    running.close()
    kept = [cell for cell in cells(marks) if store.get(cell) is not None]
    assert kept  # the finished one is there
    done = len(list(marks.iterdir()))
    list(run(cells(marks), double, store, HERE))
    assert len(list(marks.iterdir())) == done + 4 - len(kept)


@pytest.mark.parametrize("change", ["stamp", "arguments", "torn"])
def test_results_of_something_else_are_not_taken(tmp_path: Path, marks: Path, change: str) -> None:
    cell = Cell("a", {"x": 1})
    Store(tmp_path, "v1").put(cell, {"y": 2})
    assert Store(tmp_path, "v1").get(cell) == {"y": 2}
    if change == "torn":
        text = (tmp_path / "a.json").read_text()
        (tmp_path / "a.json").write_text(text[: len(text) // 2])
    stamp = "v2" if change == "stamp" else "v1"
    asked = Cell("a", {"x": 2}) if change == "arguments" else cell
    assert Store(tmp_path, stamp).get(asked) is None


def test_a_failing_cell_stops_no_other_and_is_tried_again(tmp_path: Path, marks: Path) -> None:
    store = Store(tmp_path / "cells", "")
    found = {c.key: result for c, result in run(cells(marks, 2), fails, store, HERE)}
    assert found == {f"cell{x}": {FAILED: f"ValueError: no {x}"} for x in range(2)}
    again = {c.key: result for c, result in run(cells(marks, 2), double, store, HERE)}
    assert again == {"cell0": {"double": 0}, "cell1": {"double": 2}}


def ends_badly(x: int, folder: str) -> dict:
    return {"failure": None if x else "step underflow", "loss": 1.0}


def test_a_result_that_tells_of_a_failure_is_one(tmp_path: Path, marks: Path) -> None:
    store = Store(tmp_path / "cells", "")
    found = {c.key: r for c, r in run(cells(marks, 2), ends_badly, store, HERE)}
    assert found["cell0"] == {"failure": "step underflow", "loss": 1.0}
    assert {c.key: store.get(c) for c in cells(marks, 2)} == found


def test_a_cell_that_kills_its_process_takes_no_other_with_it(tmp_path: Path, marks: Path) -> None:
    store = Store(tmp_path / "cells", "")
    found = {c.key: r for c, r in run(cells(marks, 3), fragile, store)}
    assert found["cell0"] == {"double": 0}
    assert found["cell2"] == {"double": 4}
    assert "its process ended under it" in found["cell1"][FAILED]
    assert len(list(marks.glob("1-*"))) <= ATTEMPTS + 1


def gives_up(x: int, folder: str) -> dict[str, int]:
    """Odd cells end their process, and say why."""
    (Path(folder) / f"{x}-{time.time_ns()}").touch()
    if x % 2:
        end_saying(name_of({"x": x, "folder": folder}), f"{x} is odd")
    return {"double": 2 * x}


def test_a_cell_that_says_why_it_ended_its_process_is_tried_once(
    tmp_path: Path, marks: Path
) -> None:
    store = Store(tmp_path / "cells", "")
    found = {c.key: r for c, r in run(cells(marks, 4), gives_up, store)}
    assert found["cell1"] == {FAILED: "1 is odd"}
    assert found["cell3"] == {FAILED: "3 is odd"}
    assert (found["cell0"], found["cell2"]) == ({"double": 0}, {"double": 4})
    assert [len(list(marks.glob(f"{x}-*"))) for x in (1, 3)] == [1, 1]


def test_workers_go_with_who_started_them(tmp_path: Path, marks: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from node_diag.cells import *;"
        "from tests.unit.test_cells import sleeps;"
        f"list(run([Cell('a', {{'folder': {str(marks)!r}}})], sleeps, Store(Path({str(tmp_path)!r}), '')))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        _until(lambda: any(marks.iterdir()))
        (worker,) = (int(path.name) for path in marks.iterdir())
    finally:
        parent.kill()
        parent.wait()
    _until(lambda: not Path(f"/proc/{worker}").exists())


def sleeps(folder: str) -> dict[str, int]:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)
    return {}


def _until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60  # starting a process that imports torch, on a busy machine
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_times_are_measured_alone(tmp_path: Path, marks: Path) -> None:
    asked: list[str] = []

    def engine(name: str) -> Engine:
        return Engine(name, lambda: asked.append(name) or Here(), stop=lambda pool: None, at_once=9)

    mixed = [Cell("a", {"x": 1, "folder": str(marks)}, alone=True), *cells(marks, 2)]
    store = Store(tmp_path / "c", "")
    order = [c.key for c, _ in run(mixed, double, store, engine("many"), engine("one"))]
    assert asked == ["many", "one"]
    assert order[-1] == "a"


def test_a_result_is_plain_json(tmp_path: Path) -> None:
    store = Store(tmp_path, stamp_of("a", "b"))
    store.put(Cell("a"), {"error": float("inf")})
    assert store.get(Cell("a")) == {"error": float("inf")}
    assert json.loads((tmp_path / "a.json").read_text())["stamp"] == stamp_of("a", "b")
    assert stamp_of("ab") != stamp_of("a", "b")
