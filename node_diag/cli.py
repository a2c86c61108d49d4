"""The command line: arguments in, exit code out. Each command is a file in ``commands``."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from node_diag import __version__
from node_diag.commands.capture import capture
from node_diag.commands.check import check
from node_diag.commands.compare import compare
from node_diag.commands.doctor import doctor
from node_diag.commands.explain import explain
from node_diag.commands.init import init
from node_diag.commands.list import list_
from node_diag.commands.report import report
from node_diag.commands.reproduce import reproduce
from node_diag.commands.show import show
from node_diag.commands.sweep import sweep
from node_diag.commands.train import train
from node_diag.complaints import complaints
from node_diag.errors import NodeDiagError
from node_diag.interrupts import insistent

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is the gradient your Neural ODE trains on right? Measured, with error bars and a cause.",
)
for command in (check, sweep, show, explain, report, compare, train, reproduce, init, doctor):
    app.command()(command)
app.command("list")(list_)
# What stands after the script is the script's.
app.command(context_settings={"allow_interspersed_args": False})(capture)

INTERRUPTED = 130


def _version(value: bool) -> None:
    if value:
        typer.echo(f"node-diag {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options that need no command; nothing at all shows the help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def main() -> None:
    """Entry point: run a command and turn what it raises into an exit code."""
    # Closed by whoever started us, they are None.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for the whole process
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on
    except OSError as error:
        sys.stderr.write(f"error: cannot write to stdout: {error.strerror}\n")
        os._exit(2)
    if code == INTERRUPTED:
        sys.stderr.write(f"interrupted; {complaints.kept}\n")
    gc.freeze()  # or the interpreter looks through all of torch for cycles on its way out: 0.6 s
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End without taking torch down piece by piece, 0.2 s.

    Nor does it wait for threads that a person's script or module left running: what was asked for
    is done, and one that waits for a word from its script would wait forever.
    """
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C finds nothing to interrupt
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads on
            stream.flush()
    os._exit(code)


def _run() -> int:
    try:
        with insistent():
            code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except typer.TyperException as error:
        sys.stderr.write(f"error: {_usage_sentence(error)}\n")
        return 2
    except BrokenPipeError:
        return 0
    except OSError as error:
        sys.stderr.write(f"error: {error.strerror or error}\n")
        return 2
    except NodeDiagError as error:
        complaints.tell(error)
        return 0 if complaints.exit_zero and error.exit_code == 1 else error.exit_code
    except Exception:
        complaints.tell_bug()
        return 3
    return code if isinstance(code, int) else 0


def _usage_sentence(error: typer.TyperException) -> str:
    """What is wrong with the command line, and where its help is."""
    text = error.format_message().replace("Value error, ", "").strip()
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "node-diag"
    end = "" if text.endswith((".", "?")) else "."
    return f"{text[:1].lower()}{text[1:]}{end} Run '{path} --help'."
