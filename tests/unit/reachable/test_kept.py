"""A weight that f keeps of its first evaluation is found wherever f can keep it, and no other."""

import functools
import gc
import random
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from node_diag import Problem
from node_diag.field import validate
from node_diag.reachable.before import Before, FirstValues, untouched
from node_diag.reachable.kept import lost, spots, still_lost

T, Y = torch.tensor(0.5, dtype=torch.float64), torch.tensor([1.0, -2.0], dtype=torch.float64)


class Skew(nn.Module):
    """y (W − Wᵀ) + b; how it comes to the weight is a subclass's."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.raw = nn.Parameter(torch.randn(2, 2, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(2, dtype=torch.float64))
        self.start()

    def start(self):
        """Whatever it keeps things in."""

    def weight(self):
        return self.raw - self.raw.T

    def kept(self):
        return self.weight()

    def forward(self, t, y):
        return y @ self.kept() + self.bias


class Attribute(Skew):
    def start(self):
        self.w = None

    def kept(self):
        if self.w is None:
            self.w = self.weight()
        return self.w


class Absent(Skew):
    def kept(self):
        if not hasattr(self, "w"):
            self.w = self.weight()
        return self.w


class CachedProperty(Skew):
    w = functools.cached_property(Skew.weight)

    def kept(self):
        return self.w


class Dict(Skew):
    def start(self):
        self.cache = {}

    def kept(self):
        return self.cache.setdefault("w", self.weight()) if not self.cache else self.cache["w"]


class List(Skew):
    def start(self):
        self.cache = []

    def kept(self):
        if not self.cache:
            self.cache.append(self.weight())
        return self.cache[0]


class Inside(Skew):
    """In an object, in a dict."""

    def start(self):
        self.state = {"of": SimpleNamespace()}

    def kept(self):
        where = self.state["of"]
        if not hasattr(where, "w"):
            where.w = self.weight()
        return where.w


class Buffer(Skew):
    def start(self):
        self.register_buffer("w", None)

    def kept(self):
        if self.w is None:
            self.w = self.weight()
        return self.w


class Filled(Skew):
    """In place, once."""

    def start(self):
        self.register_buffer("w", torch.zeros(2, 2, dtype=torch.float64))
        self.is_filled = False

    def kept(self):
        if not self.is_filled:
            self.w.copy_(self.weight())
            self.is_filled = True
        return self.w


class ByTime(Skew):
    """Of the last time it was asked at."""

    def start(self):
        self.last = None, None

    def forward(self, t, y):
        if self.last[0] != float(t):
            self.last = float(t), self.weight() * torch.cos(t)
        return y @ self.last[1] + self.bias


class InALayer(Skew):
    def start(self):
        self.layer = Attribute()

    def kept(self):
        return self.layer.kept() + 0 * self.raw


GLOBAL = {}


class InAGlobal(Skew):
    def kept(self):
        if "w" not in GLOBAL:
            GLOBAL["w"] = self.weight()
        return GLOBAL["w"]


class ByTimes(Skew):
    """Of every time it was asked at."""

    def start(self):
        self.cache = {}

    def forward(self, t, y):
        key = round(float(t), 6)
        if key not in self.cache:
            self.cache[key] = self.weight() * torch.cos(t)
        return y @ self.cache[key] + self.bias


class InItsClass(Skew):
    shared = None

    def kept(self):
        if InItsClass.shared is None:
            InItsClass.shared = self.weight()
        return self.shared


class ByLruCache(Skew):
    @functools.lru_cache(maxsize=4)  # noqa: B019 - people do
    def kept(self):
        return self.weight()


@functools.cache
def skew(raw):
    return raw - raw.T


class ByACachedFunction(Skew):
    def kept(self):
        return skew(self.raw)


class Slots:
    __slots__ = ("w",)


class InSlots(Skew):
    def start(self):
        self.slots = Slots()

    def kept(self):
        if not hasattr(self.slots, "w"):
            self.slots.w = self.weight()
        return self.slots.w


class WhereItIsNothingAtFirst(Attribute):
    def forward(self, t, y):
        return torch.relu(t - T) * super().forward(t, y) + self.bias


KEEPERS = [
    *(Attribute, Absent, CachedProperty, Dict, List, Inside, Buffer, Filled, ByTimes, InAGlobal),
    *(InItsClass, ByLruCache, ByACachedFunction, InSlots, WhereItIsNothingAtFirst),
]


def first_lost(func, params):
    """As whoever looks at f first: an evaluation without a graph."""
    before = Before(func)
    with torch.no_grad():
        func(T, Y)
    return lost(func, spots(T, 1.0, Y), params, before)


@pytest.mark.parametrize("make", KEEPERS)
def test_a_kept_weight_is_found(make):
    GLOBAL.clear()
    InItsClass.shared = None
    skew.cache_clear()
    f = make()
    assert first_lost(f, dict(f.named_parameters())) == ["raw"]
    f(T, Y)  # what it kept is still there
    assert [n for n, p in f.named_parameters() if p.grad is not None] == []


def test_in_a_layer_by_its_name():
    f = InALayer()
    assert first_lost(f, dict(f.named_parameters())) == ["layer.raw"]


def test_a_part_of_a_gradient():
    """Raw is used beside what is kept of it: some gradient arrives, and not all."""

    class Partly(Attribute):
        def forward(self, t, y):
            return super().forward(t, y) + 0.1 * self.raw.sum()

    f = Partly()
    assert first_lost(f, dict(f.named_parameters())) == ["raw"]


def test_functions_and_objects():
    raw = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    cache, kept = {}, None

    def in_a_dict(t, y):
        if "w" not in cache:
            cache["w"] = raw.exp()
        return cache["w"] * y

    def in_its_closure(t, y):
        nonlocal kept
        if kept is None:
            kept = raw.exp()
        return kept * y

    class Object:
        def __call__(self, t, y):
            if not hasattr(self, "w"):
                self.w = raw.exp()
            return self.w * y

    for f in (in_a_dict, in_its_closure, Object()):
        assert first_lost(f, {"raw": raw}) == ["raw"]
    f = Attribute()
    assert first_lost(lambda t, y: f(t, y), dict(f.named_parameters())) == ["raw"]


class Counter(Skew):
    def start(self):
        self.nfe = 0

    def forward(self, t, y):
        self.nfe += 1
        return super().forward(t, y)


class Gated(Attribute):
    """It keeps the weight only where nothing is to be differentiated."""

    def kept(self):
        return self.weight() if torch.is_grad_enabled() else super().kept()


class Detached(Attribute):
    """A constant, on purpose."""

    def weight(self):
        return super().weight().detach()


class Noise(Skew):
    """Drawn once for a solve, as for the trace of a continuous normalising flow."""

    def start(self):
        self.noise = None

    def forward(self, t, y):
        if self.noise is None:
            self.noise = torch.randn_like(y)
        return super().forward(t, y) * self.noise


class SetUp(Skew):
    """By the first state that it sees, as ActNorm."""

    def start(self):
        self.scale = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.is_set_up = False

    def forward(self, t, y):
        if not self.is_set_up:
            self.scale.data.copy_(1 / y.detach().abs())
            self.is_set_up = True
        return super().forward(t, y) * self.scale


class Moving(Skew):
    """Another value each time."""

    def start(self):
        self.mean = 0.0

    def forward(self, t, y):
        value = super().forward(t, y)
        self.mean = 0.9 * self.mean + 0.1 * value.detach()
        return value - self.mean


class Layers(Skew):
    def start(self):
        spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))
        norm = nn.BatchNorm1d(2)
        self.net = nn.Sequential(spectral, norm, nn.Dropout(0.5), nn.LazyLinear(2)).double()

    def forward(self, t, y):
        return self.net(y.repeat(3, 1) * torch.tensor([[1.0], [2.0], [3.0]]).double())[0]


FINE = [Skew, ByTime, Counter, Gated, Detached, Noise, SetUp, Moving, Layers]


@pytest.mark.parametrize("make", FINE)
def test_others_are_left_alone(make):
    f = make()
    if make is Layers:
        f(T, Y)
    before = {n: p.detach().clone() for n, p in f.named_parameters()}
    assert first_lost(f, dict(f.named_parameters())) == []
    if make is not SetUp:  # the evaluation that came first has
        assert all(torch.equal(p, before[n]) for n, p in f.named_parameters())


def test_trials_leave_no_trace():
    f = Counter()
    f.values = [1]
    before = Before(f)
    with torch.no_grad():
        f(T, Y)
        f.values.append(2)
    lost(f, spots(T, 1.0, Y), dict(f.named_parameters()), before)
    assert (f.nfe, f.values) == (1, [1, 2])


def test_untouched_forgets_what_was_kept():
    f = Attribute()
    with untouched(f):
        f(T, Y)
        f.other = 1
    assert f.w is None
    assert not hasattr(f, "other")


def test_what_was_prepared_with_a_graph_is_not_lost():
    """It falls back to an own weight where nobody has prepared one."""
    f = Attribute()
    params = dict(f.named_parameters())
    before = Before(f)
    f.w = f.weight()
    asked = spots(T, 1.0, Y)
    assert lost(f, asked, params, before) == ["raw"]
    assert still_lost(f, asked, params, before) == []
    f.w = f.w.detach()
    assert still_lost(f, asked, params, before) == ["raw"]


def test_what_is_kept_with_a_graph_is_lost_once_its_parameters_are_others():
    f = Attribute()
    params, before, asked = dict(f.named_parameters()), Before(f), spots(T, 1.0, Y)
    f(T, Y)
    assert still_lost(f, asked, params, before) == []
    f.raw.data.add_(torch.eye(2))
    f.raw.data[0, 1] += 1.0
    assert still_lost(f, asked, params, before) == ["raw"]


def test_a_weight_of_parametrize_cached():
    f = Skew()
    f.layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2, dtype=torch.float64))
    f.kept = lambda: f.layer.weight
    with nn.utils.parametrize.cached():
        names = first_lost(f, dict(f.named_parameters()))
    assert names == [f"layer.parametrizations.weight.original{i}" for i in (0, 1)]
    assert first_lost(f, dict(f.named_parameters())) == []


def test_generators_go_on_as_if_nobody_had_drawn():
    class Drawing(Counter):
        def start(self):
            super().start()
            self.own = [
                torch.Generator().manual_seed(0),
                random.Random(0),
                np.random.default_rng(0),
            ]

        def draw(self):
            torch_, python, numpy = self.own
            return [float(torch.rand(1, generator=torch_)), python.random(), numpy.random()]

        def forward(self, t, y):
            return super().forward(t, y) * sum(self.draw())

    f, other = Drawing(), Drawing()
    before = Before(f)
    with torch.no_grad():
        f(T, Y)
        other(T, Y)
    lost(f, spots(T, 1.0, Y), dict(f.named_parameters()), before)
    with untouched(f):
        f(T, Y)
    assert f.draw() == other.draw()


def test_nobody_is_kept_alive():
    firsts = FirstValues()
    f = Counter()
    with firsts.solving(f), torch.no_grad():
        f(T, Y)
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is None


def test_what_the_script_takes_back_is_its_own_doing():
    f, firsts = Attribute(), FirstValues()
    with firsts.solving(f), torch.no_grad():
        f(T, Y)
    f.w = prepared = f.weight()
    with firsts.solving(f) as before:
        f(T, Y)
    with before.again():
        assert f.w is prepared


def test_what_is_assigned_between_solves_is_not_fs_doing():
    f, firsts = Attribute(), FirstValues()
    f.context = "first"
    with firsts.solving(f), torch.no_grad():
        f(T, Y)
    f.context = "second"
    with firsts.solving(f) as before, torch.no_grad():
        f(T, Y)
    with before.again():
        assert f.context == "second"
        assert f.w is None
    assert f.w is not None


def test_a_problem_that_was_looked_at_before_still_says_so():
    problem = Problem(Attribute(), Y, (0.0, 1.0), lambda zs: zs.sum())
    for _ in range(2):
        validate(problem)
        assert problem.kept == ["raw"]
    assert problem.to(torch.float32, torch.device("cpu")).kept == ["raw"]


class Odd:
    """It cannot be looked into."""

    @property
    def __dict__(self):
        raise RuntimeError("no")

    def __getattr__(self, name):
        raise RuntimeError(name)


class Frozen(dict):
    def __setitem__(self, key, value):
        raise TypeError("frozen")

    __delitem__ = __setitem__


def test_an_f_that_holds_what_cannot_be_looked_at_or_put_back():
    f = Attribute()
    f.frozen = Frozen(a=1)
    f.odd = Odd()
    before = Before(f)
    with untouched(f), torch.no_grad():
        dict.__setitem__(f.frozen, "b", 2)
        f(T, Y)
    assert f.w is None
    assert f.frozen == {"a": 1, "b": 2}
    assert not before.is_same()


def test_data_is_not_looked_into():
    f = Attribute()
    few = len(Before(f).places)
    f.data = [[i] for i in range(1000)]
    assert len(Before(f).places) == few + 1  # the list
    assert first_lost(f, dict(f.named_parameters())) == ["raw"]
