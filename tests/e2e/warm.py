"""Runs node-diag in forks of a process that has imported everything; spares seconds each time.

Requests come as lines of JSON on stdin: argv, cwd, env, stdout and stderr (files), timeout. Answers
are the exit codes, a line each; null where the time was over.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path


def _import_everything(script):
    import matplotlib.figure
    import scipy.integrate
    import torch

    # Threads do not survive a fork, and whoever waits for them waits for ever: importing torchode
    # computes something.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    import node_diag

    for module in pkgutil.walk_packages(node_diag.__path__, "node_diag."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    torch.set_num_threads(threads)
    del matplotlib, scipy
    sys.path[0] = str(Path(script).parent)  # as Python would have set it


def _be(request, script):
    """Take the request's place in the world, and run the command in it."""
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    targets = [(os.devnull, os.O_RDONLY), (request["stdout"], flags), (request["stderr"], flags)]
    for number, (path, mode) in enumerate(targets):
        os.dup2(os.open(path, mode), number)
    faulthandler.register(signal.SIGUSR1)  # on stderr, here and in whatever this forks
    sys.argv = [script, *request["argv"]]
    code = 1
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _wait(child, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(5e-3)
    found = subprocess.run(["pgrep", "-g", str(child)], capture_output=True, text=True, check=False)
    for process in found.stdout.split():  # where is it?
        os.kill(int(process), signal.SIGUSR1)
        time.sleep(0.2)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def main():
    script = sys.argv[1]
    _import_everything(script)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _be(request, script)
        sys.stdout.write(json.dumps(_wait(child, request["timeout"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
