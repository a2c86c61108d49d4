"""Every gradient method, ours and the libraries', on eight problems: `python -m tests.audit`.

Writes docs/which_gradient.md. One process for each problem, each computing in one thread.
"""

import json
import math
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node_diag.outputs.numbers import count, scientific, size
from node_diag.registry import METHODS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "which_gradient.md"
PROBLEMS = {
    "linear": ("grows: z' = z, T = 1", []),
    "linear, decaying": ("contracts by e⁻⁶", ["k=-3", "T=2"]),
    "lotkavolterra": ("periodic, neutral", []),
    "spiral": ("a small network, a batch of 8", []),
    "vanderpol, short": ("contracts by 10³: μ = 1, T = 5", ["mu=1", "T=5"]),
    "vanderpol": ("contracts by 10²²: μ = 2, T = 20", []),
    "threebody": ("a close encounter, 20 observations", []),
    "equilibrium": ("the state stands still, its sensitivities do not", []),
}
RTOL = "1e-5"
LEFT_OUT = {"captured", "captured-backprop", "torchdiffeqpack-mali"}
"""The first two are calls of a script; the last one has an order of two and takes 100,000 steps."""
HEAD = """# Which gradient should I use?

Written by `make audit`: every method but MALI, which has an order of two and takes 100,000 steps, on eight problems with dopri5 at rtol = atol = {rtol}, each number by
`node-diag check PROBLEM -m METHOD`. Errors are relative, over z0 and all parameters, against the continuous truth.

**In one sentence**: backprop through the accepted steps with their sizes held constant (`aca`, `direct`,
`torchode-frozen`, `torchdiffeqpack-aca`), and a reverse-time adjoint only where the flow does not contract.

Two columns are there for the exceptions. On `equilibrium` the error control sees nothing of the sensitivities, so the steps are
wrong for all of them: `--control sensitivities`, or a bound on the steps. On `threebody` the derivative of the step sizes happens to
cancel discretisation error (steps that follow the close encounter when it moves); on `vanderpol` it adds to it. Tighten the
tolerance rather than trust to that: at rtol 1e-8 `direct` is right there.

"""


def check(name):
    """The record of one problem."""
    _, sets = PROBLEMS[name]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "node_diag", "check", name.partition(",")[0], "--rtol", RTOL,
            *(word for text in sets for word in ("--set", text)), "-m", ",".join(methods()),
            "--report", "json", "--report-dir", f"{folder}/r", "-q", "--repeat", "1",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr}")
        return json.loads(Path(folder, "r", "report.json").read_text())


def methods():
    """Ours first, then library by library."""
    names = [name for name in METHODS.names() if name not in LEFT_OUT]
    return sorted(names, key=lambda name: (METHODS.requires(name), name))


def table(title, records, cell, note, known=None):
    """One row for each method, one column for each problem, and what the truth is known to."""
    lines = [f"## {title}", "", note, "", "| method | " + " | ".join(records) + " |"]
    lines.append("|:--|" + "--:|" * len(records))
    for name in methods():
        cells = [
            cell(next(m for m in r["methods"] if m["name"] == name), r) for r in records.values()
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    if known:
        lines.append(
            "| *±* | " + " | ".join(least_known(r, known) for r in records.values()) + " |"
        )
    return "\n".join([*lines, ""])


def least_known(record, pick):
    """Largest uncertainty of an error beside 1 + error, which is how that of the truth enters."""
    found = [pick(m) for m in record["methods"] if m["errors"]]
    pairs = [
        (number(e["uncertainty"]), number(e["relative_l2"] or 0.0))
        for e in found
        if e and e["uncertainty"] is not None
    ]
    return scientific(max((u / (1 + e) for u, e in pairs if math.isfinite(u + e)), default=0.0))


def number(value):
    """NaN and infinities are strings in the record."""
    return float(value) if isinstance(value, str) else value


def error(m, _):
    """Against the continuous truth."""
    if m["status"] != "ok":
        return m["failure"].partition(":")[0]
    found = m["errors"]["continuous"]
    relative = found["relative_l2"]
    return scientific(number(found["absolute_l2"] if relative is None else relative))


def to_its_steps(m, _):
    """Against the derivative of the steps it took."""
    found = (m["errors"] or {}).get("discrete") if m["discrete"] and m["errors"] else None
    if found is None:
        return "–"
    relative = found["relative_l2"]
    return scientific(number(found["absolute_l2"] if relative is None else relative))


def in_times(m, _):
    """dL/dts against the continuous truth."""
    found = m["errors"]["continuous"] if m["errors"] else None
    times = found["times"] if found else None
    if times is None:
        return "–"
    return scientific(
        number(times["absolute_l2"] if times["relative_l2"] is None else times["relative_l2"])
    )


def evaluations(m, _):
    """Forward and backward."""
    return count(m["cost"]["nfe_forward"] + m["cost"]["nfe_backward"]) if m["cost"] else "–"


def peak(m, _):
    """Bytes alive at most."""
    return size(m["cost"]["peak_bytes"]) if m["cost"] else "–"


def main():
    """Check everything and write the page."""
    with ThreadPoolExecutor(2) as pool:
        records = dict(zip(PROBLEMS, pool.map(check, PROBLEMS), strict=True))
    problems = "\n".join(f"- **{name}**: {what}" for name, (what, _) in PROBLEMS.items())
    text = HEAD.format(rtol=RTOL) + problems + "\n\n"
    text += table(
        "Gradient error", records, error,
        "Against the continuous truth, e ± u (1 + e) with the u of the last row; a word is a failure.",
        lambda m: m["errors"]["continuous"],
    )  # fmt: skip
    text += "\n" + table(
        "Against its own steps", records, to_its_steps,
        "What the method itself adds: the distance from the derivative of the steps it took, their sizes held constant.",
        lambda m: m["errors"].get("discrete"),
    )  # fmt: skip
    text += "\n" + table(
        "dL/dt", records, in_times, "All times as one vector; – where a library gives none.",
        lambda m: (m["errors"]["continuous"] or {}).get("times"),
    )  # fmt: skip
    text += "\n" + table("Evaluations of f", records, evaluations, "Forward and backward together.")
    text += "\n" + table("Memory", records, peak, "Bytes alive at most, beyond the model's own.")
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
