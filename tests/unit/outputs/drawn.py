"""Figures of reports as tests look at them."""

from __future__ import annotations

from matplotlib.figure import Figure

from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import sheet
from node_diag.records import MethodRecord, ParameterError, Report
from tests.stubs import method, stock_report


def draw(plot: Plot, report: Report) -> Figure:
    assert plot.absent(report) == ""
    with sheet():
        return plot.draw(report)


def line(figure: Figure, name: str, panel: int = 0) -> tuple[list[float], list[float]]:
    """Data of the line that was drawn under this name."""
    (found,) = [each for each in figure.axes[panel].lines if each.get_label() == name]
    return list(found.get_xdata()), list(found.get_ydata())


def texts(figure: Figure) -> str:
    found = [t.get_text() for owner in (figure, *figure.axes) for t in owner.texts]
    found += [t.get_text() for ax in figure.axes for t in (*ax.get_yticklabels(), ax.title)]
    found += [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    return "\n".join(found)


def errors_of(found: MethodRecord) -> dict[str, ParameterError]:
    assert found.errors is not None
    assert found.errors.continuous is not None
    return found.errors.continuous.by_parameter


def many_tensors(n: int) -> Report:
    report = stock_report(methods=[method("aca")])
    errors_of(report.methods[0]).update(
        {
            f"w{i}": ParameterError(relative_l2=10.0**-i, max_abs=1.0, uncertainty=0)
            for i in range(n)
        }
    )
    return report


def exploded(*values: float) -> Report:
    """The adjoint's last states replaced, backward from t0."""
    report = stock_report()
    curve = report.series.reconstruction["adjoint"]
    for i, value in enumerate(values, start=1):
        curve.z[-i], curve.error[-i] = [value, value], abs(value)
    return report
