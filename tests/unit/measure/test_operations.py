"""Operations are seen one by one, also of an f that torch.compile has been told of."""

import subprocess
import sys

SCRIPT = """
import torch
from torch import nn
from torch._dynamo.utils import counters
from node_diag.measure.operations import Operations


class Seen(Operations):
    count = 0

    def done(self, func, args, found):
        Seen.count += 1


f = torch.compile(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)), backend="eager")
x = torch.ones(1, 2)
with Seen():
    f(x)
once, Seen.count = Seen.count, 0
with Seen():
    for _ in range(20):
        f(x)
print(once, Seen.count, counters["frames"]["total"])
"""


def test_the_compiler_does_not_compile_what_watches():
    """It did, eight times, and then said on stderr that it gives up."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    once, twenty_times, frames = map(int, done.stdout.split())
    assert once >= 3  # two products and a tanh
    assert twenty_times == 20 * once
    assert frames == 0
    assert "node_diag" not in done.stderr
