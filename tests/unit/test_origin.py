"""What a workflow installs node-diag from."""

import json
import shutil
import subprocess
from importlib import metadata

import pytest

from node_diag import __version__, origin


@pytest.fixture
def installed(monkeypatch):
    """``installed({"url": …})``: as if pip had kept this record; None: none, as from an index."""

    def be(record):
        class Distribution:
            def read_text(self, name):
                assert name == "direct_url.json"
                return None if record is None else json.dumps(record)

        monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())
        return origin.requirement()

    return be


def git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e@x.example", *arguments],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def test_from_an_index(installed):
    assert installed(None) == f"node-diag=={__version__}"


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example/o/node-diag.git",
        "https://me:secret@host.example/o/node-diag.git",
        "ssh://git@host.example/o/node-diag.git",
    ],
)
def test_from_git(installed, url):
    found = installed({"url": url, "vcs_info": {"vcs": "git", "commit_id": "abc"}})
    assert found == "node-diag @ git+https://host.example/o/node-diag.git@abc"


def test_from_an_address(installed):
    url = "https://host.example/node_diag-0.1.0-py3-none-any.whl"
    assert installed({"url": url, "archive_info": {}}) == f"node-diag @ {url}"


def test_from_a_folder_of_this_repository(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = (tmp_path / "third party").as_uri()
    assert installed({"url": url, "dir_info": {}}) == "./third party"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_from_a_clone(installed, tmp_path, monkeypatch):
    clone, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    clone.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    record = {"url": clone.as_uri(), "dir_info": {"editable": True}}
    assert installed(record) is None  # no repository
    git(clone, "init", "-q")
    git(clone, "commit", "-q", "--allow-empty", "-m", "one")
    assert installed(record) is None  # nothing it was cloned from
    git(clone, "remote", "add", "origin", "git@host.example:o/node-diag.git")
    # A commit that nobody else has is not asked for.
    assert installed(record) == "node-diag @ git+https://host.example/o/node-diag.git"
    git(clone, "update-ref", "refs/remotes/origin/main", "HEAD")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True, check=True)  # fmt: skip
    assert installed(record) == (
        f"node-diag @ git+https://host.example/o/node-diag.git@{head.stdout.strip()}"
    )


def test_from_a_folder_that_only_this_machine_has(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(origin, "_output", lambda *_: "")  # no git either
    assert installed({"url": (tmp_path / "gone").as_uri(), "dir_info": {}}) is None
