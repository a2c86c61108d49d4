"""``check --baseline`` and ``compare`` through the installed command."""

import json
import shlex
import shutil
import xml.etree.ElementTree as ET

import pytest

from node_diag.records import Report

CHECK = ("check", "linear", "-q", "-m", "aca", "--repeat", "1")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A report of ``linear``, made once."""
    from node_diag.session import plan, run
    from node_diag.streams import Streams

    folder = tmp_path_factory.mktemp("base") / "base"
    flags = {"methods": ["aca"], "repeat": 1, "report": ["json"]}
    run(
        plan("linear", [], flags, None).jobs[0],
        folder,
        force=False,
        streams=Streams(no_color=True, quiet=True),
    )
    return folder


@pytest.fixture
def edited(base, tmp_path):
    """``edited("name", aca_cost)``: copies of the baseline with something changed."""

    def write(name, change):
        record = json.loads((base / "report.json").read_text())
        change(record)
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "report.json").write_text(json.dumps(record))

    return write


def set_backward(record, by):
    record["methods"][0]["cost"]["nfe_backward"] += by


def test_a_check_is_held_against_its_baseline_in_every_output(node_diag, base, edited, tmp_path):
    edited("old", lambda record: set_backward(record, -1))
    done = node_diag(
        *CHECK, "--baseline", "old", "--report", "json,md,junit", "--report-dir", "out"
    )
    assert done.returncode == 1, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("worse"))
    assert "aca.nfe_backward 23 → 24: 1 more" in line
    found = Report.load(tmp_path / "out" / "report.json").comparison
    assert found is not None
    assert found.failed == 1
    assert "worse: aca.nfe\\_backward 23 → 24" in (tmp_path / "out" / "report.md").read_text()
    root = ET.parse(tmp_path / "out" / "junit.xml").getroot()
    assert root.get("failures") == "1"
    # The same against itself; nothing that is counted differs between two processes.
    again = node_diag(*CHECK, "--baseline", base, "--output-format", "json", "--report", "json")
    assert again.returncode == 0
    verdicts = {change["verdict"] for change in json.loads(again.stdout)["comparison"]["changes"]}
    assert verdicts == {"same", "info"}


@pytest.mark.parametrize("path", ["none.json", "empty", "broken"])
def test_an_unreadable_baseline_is_told_before_the_work(node_diag, tmp_path, path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "report.json").write_text("{}")
    done = node_diag("check", "linear", "--baseline", path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()  # no progress: nothing was started
    assert path in line
    assert not (tmp_path / "reports").exists()


def test_the_first_baseline_is_made_by_the_command_that_is_told(node_diag, tmp_path):
    arguments = ("check", "linear", "-q", "-m", "aca", "--set", "k=0.3", "--repeat", "1")
    told = node_diag(*arguments, "--baseline", "my base/report.json")
    assert told.returncode == 2
    (line,) = told.stderr.splitlines()
    assert "there is no baseline 'my base/report.json' yet; make it with: node-diag check" in line
    made = node_diag(*shlex.split(line.partition("with: ")[2])[1:], "-q", "--report", "json")
    assert made.returncode == 0, made.stderr
    again = node_diag(*arguments, "--baseline", "my base/report.json", "--report", "json")
    assert again.returncode == 0, again.stdout


def test_the_first_baseline_that_the_configuration_names(node_diag, tmp_path):
    (tmp_path / "node-diag.yaml").write_text(
        "{problems: [linear], methods: [aca], repeat: 1, report: [json], baseline: base}"
    )
    for arguments in (("check",), ("check", "linear")):
        told = node_diag(*arguments, "-q")
        assert told.returncode == 2
        assert told.stderr.endswith("make it with: node-diag check --report-dir base\n")
    made = node_diag("check", "-q", "--report-dir", "base")
    assert made.returncode == 0, made.stderr
    assert "the baseline has no problem 'linear'" in made.stdout
    assert node_diag("check", "linear", "-q").returncode == 0
    # What the report advises runs, though it changes what the baseline was made with.
    done = node_diag("check", "-q")
    assert done.returncode == 0, done.stdout
    advised = [line for line in done.stdout.splitlines() if line.startswith("  node-diag check ")]
    assert advised
    assert all(line.endswith(" --ignore-config --exit-zero") for line in advised)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "spiral", "--baseline", "{base}"), "is of 'linear', not of 'spiral'"),
        (("check", "spiral", "--baseline", "{base}/.."), "is of 'base', not of 'spiral'"),
        (("check", "linear", "--baseline", ""), "baseline is empty; name a report.json"),
    ],
)
def test_a_baseline_that_is_none_is_told_before_the_work(
    node_diag, base, tmp_path, arguments, said
):
    done = node_diag(*(word.format(base=base) for word in arguments))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()  # no progress: nothing was started
    assert said in line
    assert not (tmp_path / "reports").exists()


def test_other_settings_are_an_error_unless_they_are_to_be_ignored(node_diag, base):
    arguments = (*CHECK, "--rtol", "1e-6", "--report", "json", "--baseline", base)
    refused = node_diag(*arguments)
    assert refused.returncode == 2
    assert "made with other settings (rtol 1e-5 there, 1e-6 here; atol" in refused.stderr
    assert "--ignore-config" in refused.stderr
    ignored = node_diag(*arguments, "--ignore-config", "--output-format", "json")
    assert ignored.returncode == 1  # a smaller tolerance takes more evaluations
    found = json.loads(ignored.stdout)["comparison"]
    assert "rtol 1e-5 there, 1e-6 here" in found["notes"]


def test_compare_reads_two_files_or_folders(node_diag, base, edited, tmp_path):
    edited("worse", lambda record: set_backward(record, 1))
    same = node_diag("compare", base, base / "report.json")
    assert same.returncode == 0
    worse = node_diag("compare", base, "worse")
    assert worse.returncode == 1
    assert "worse  aca.nfe_backward 24 → 25" in worse.stdout
    assert node_diag("compare", base, "worse", "--exit-zero").returncode == 0
    assert node_diag("compare", "worse", base).returncode == 0
    markdown = node_diag("compare", base, "worse", "--output-format", "markdown").stdout
    assert "- worse: aca.nfe\\_backward 24 → 25" in markdown
    github = node_diag("compare", base, "worse", "--output-format", "github").stdout
    assert github.startswith("::error title=node-diag linear%3A worse than the baseline::")
    record = json.loads(node_diag("compare", base, "worse", "--output-format", "json").stdout)
    assert (record["exit_code"], record["problems"]["linear"]["failed"]) == (1, 1)


def test_compare_reads_runs_of_several(node_diag, base, edited, tmp_path):
    for name in ("old/a", "old/b", "new/a", "new/c"):
        shutil.copytree(base, tmp_path / name)
    done = node_diag("compare", "old", "new")
    assert done.returncode == 1
    assert "b: the baseline has this problem" in done.stdout
    assert "new  problem – → c: the baseline has no problem 'c'" in done.stdout
    shutil.rmtree(tmp_path / "old" / "b")
    assert node_diag("compare", "old", "new").returncode == 0


def test_compare_of_other_settings_is_refused(node_diag, base, edited):
    edited("other", lambda record: record["config"].update(rtol=1e-9))
    assert node_diag("compare", base, "other").returncode == 2
    assert node_diag("compare", base, "other", "--ignore-config").returncode == 0


def test_times_fail_only_against_a_limit(node_diag, base, edited):
    def slow(record):
        cost = record["methods"][0]["cost"]
        cost.update(backward_s=cost["backward_s"] * 50 + cost["forward_s"] * 50)

    edited("slow", slow)
    assert node_diag("compare", base, "slow").returncode == 0
    assert node_diag("compare", base, "slow", "--max-slowdown", "10").returncode == 1


def test_a_run_of_several_misses_what_the_baseline_had(node_diag, base, tmp_path):
    for name in ("old/linear", "old/gone"):
        shutil.copytree(base, tmp_path / name)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.node-diag]\nproblems = ["linear"]\nmethods = ["aca"]\nrepeat = 1\nreport = ["json"]\nbaseline = "old"\n'
    )
    done = node_diag("check", "-q", "--output-format", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["missing"] == ["gone"]
    assert "gone: the baseline has this problem" in done.stderr
    # One that was picked on purpose does not make the others missing.
    assert node_diag("check", "linear", "-q", "--report-dir", "one").returncode == 0


def test_the_command_of_a_named_entry_runs_again(node_diag, tmp_path):
    """Its baseline knows it by a name that the command does not give it."""
    (tmp_path / "node-diag.yaml").write_text(
        "{problems: [{problem: linear, name: bee, rtol: 1.0e-6}], methods: [aca], repeat: 1, "
        "report: [json], baseline: base}"
    )
    assert node_diag("check", "-q", "--report-dir", "base").returncode == 0
    done = node_diag("check", "bee", "-q", "--report-dir", "out")
    assert done.returncode == 0, done.stdout
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert record["comparison"]["failed"] == 0
    assert "--baseline" not in record["command"]
    (tmp_path / "node-diag.yaml").unlink()
    again = node_diag(*shlex.split(record["command"])[1:], "-q", "--report-dir", "again")
    assert again.returncode == 0, again.stderr
