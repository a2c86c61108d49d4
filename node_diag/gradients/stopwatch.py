"""How long the parts of a run take, on the device it runs on."""

from __future__ import annotations

import time
from itertools import pairwise

import torch


class Stopwatch:
    """Seconds between laps: by the host's clock, on a GPU by events in its stream.

    Events are marks in the queue of the device, so that reading the time stops nothing between the
    first lap and the last.
    """

    def __init__(self, device: torch.device) -> None:
        """Starts; on a GPU once it has nothing left to do."""
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            self._stream = torch.cuda.current_stream(device)
        self._host: list[float] = []
        self._events: list[torch.cuda.Event] = []
        self.lap()

    def lap(self) -> None:
        """One part has ended, and the next begins."""
        if self._stream is None:
            self._host.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record(self._stream)
        self._events.append(event)

    def seconds(self) -> list[float]:
        """What each part took; waits for the last one to end."""
        if self._stream is None:
            return [end - start for start, end in pairwise(self._host)]
        self._events[-1].synchronize()
        return [start.elapsed_time(end) / 1e3 for start, end in pairwise(self._events)]
