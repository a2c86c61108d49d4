"""The report folder appears as a whole or not at all."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from node_diag.errors import UsageError
from node_diag.outputs import base, folder
from node_diag.outputs.formats.json import Json


def everything_in(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def test_all_files_are_there_and_named(stock, tmp_path):
    target = tmp_path / "new" / "r"
    paths = base.write(stock, target, ["html", "png", "json", "csv", "md", "junit"])
    assert paths[0] == target / "report.json"
    assert sorted(paths) == sorted(p for p in target.rglob("*") if p.is_file())
    assert {p.parent.name for p in paths} == {"r", "figures", "tables"}
    assert everything_in(tmp_path / "new")[0] == "r"


def test_the_record_is_written_whatever_was_asked_for(stock, tmp_path):
    base.write(stock, tmp_path / "r", ["junit"])
    assert everything_in(tmp_path / "r") == ["junit.xml", "report.json"]


def test_an_unknown_format_is_told(stock, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'html'"):
        base.write(stock, tmp_path / "r", ["htm"])
    assert everything_in(tmp_path) == []


def test_a_crash_while_rendering_leaves_nothing(stock, tmp_path, monkeypatch):
    def crash(self, report):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(Json, "render", crash)
    with pytest.raises(RuntimeError, match="in the middle"):
        base.write(stock, tmp_path / "r", ["csv"])
    assert everything_in(tmp_path) == []
    assert gc.isenabled()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_crash_while_writing_leaves_nothing(stock, tmp_path, monkeypatch, error):
    write_bytes, seen = Path.write_bytes, []

    def crash(self, content):
        seen.append(everything_in(tmp_path))
        if len(seen) == 3:
            raise error
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", crash)
    with pytest.raises(error):
        base.write(stock, tmp_path / "a" / "r", ["csv"])
    assert len(seen) == 3
    assert all("a/r" not in names for names in seen)
    assert everything_in(tmp_path) == []


def test_a_report_is_not_overwritten(stock, tmp_path):
    base.write(stock, tmp_path / "r", [])
    before = (tmp_path / "r" / "report.json").stat().st_mtime_ns
    with pytest.raises(UsageError, match="--force"):
        base.write(stock, tmp_path / "r", [])
    assert (tmp_path / "r" / "report.json").stat().st_mtime_ns == before


def test_an_empty_folder_may_be_used(stock, tmp_path):
    base.write(stock, tmp_path, [])
    assert everything_in(tmp_path) == ["report.json"]


def test_force_replaces_the_whole_report(stock, tmp_path):
    base.write(stock, tmp_path / "r", ["csv"])
    base.write(stock, tmp_path / "r", ["junit"], force=True)
    assert everything_in(tmp_path) == ["r", "r/junit.xml", "r/report.json"]


def test_force_brings_the_old_report_back_if_the_new_one_cannot_take_its_place(
    stock, tmp_path, monkeypatch
):
    base.write(stock, tmp_path / "r", ["csv"])
    before = everything_in(tmp_path)
    rename = Path.rename

    def refuse(self, target):
        if self.name.endswith(".partial"):
            raise OSError("disk gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UsageError, match="disk gone"):
        base.write(stock, tmp_path / "r", [], force=True)
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("names", [["thesis.tex"], ["report.json", "thesis.tex"], [".git"]])
def test_force_never_deletes_what_is_no_report(stock, tmp_path, names):
    target = tmp_path / "r"
    target.mkdir()
    for name in names:
        (target / name).write_text("work of years")
    with pytest.raises(UsageError, match="choose another folder"):
        base.write(stock, target, [], force=True)
    assert everything_in(target) == sorted(names)


def test_a_link_is_not_replaced(stock, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match="not a folder"):
        base.write(stock, tmp_path / "link", [], force=True)


def test_an_output_cannot_leave_the_folder(stock, tmp_path, monkeypatch):
    monkeypatch.setattr(Json, "render", lambda self, report: {"../stray": b""})
    with pytest.raises(ValueError, match="outside"):
        base.write(stock, tmp_path / "r", [])
    assert everything_in(tmp_path) == []


def test_prepare_leaves_nothing_behind(tmp_path):
    base.prepare(tmp_path / "a" / "b" / "r")
    assert everything_in(tmp_path) == []


def test_prepare_fails_before_the_run_if_a_report_is_there(stock, tmp_path):
    base.write(stock, tmp_path / "r", [])
    with pytest.raises(UsageError, match="--force"):
        base.prepare(tmp_path / "r")
    base.prepare(tmp_path / "r", force=True)


def test_prepare_fails_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "r"):
        with pytest.raises(UsageError, match="--report-dir"):
            base.prepare(target)


def test_prepare_fails_where_nothing_can_be_written(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        base.prepare(tmp_path / "r")


def test_others_may_read_the_report(stock, tmp_path):
    before = os.umask(0o022)
    try:
        base.write(stock, tmp_path / "r", [])
    finally:
        os.umask(before)
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o755


def test_a_relative_folder_is_found(stock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder.replace(Path("r"), {"report.json": b"{}"}, force=False)
    assert everything_in(tmp_path) == ["r", "r/report.json"]
