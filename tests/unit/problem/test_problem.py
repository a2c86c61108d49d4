"""Problems: what is refused, and the ways f may be written."""

import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

from node_diag import Problem
from node_diag.errors import ProblemError
from node_diag.field import Field, validate

Z0 = torch.tensor([1.0, 2.0], dtype=torch.float64)


def make(func=lambda t, z: -z, z0=Z0, ts=(0.0, 1.0), loss=lambda zs: zs.sum(), **options):
    return Problem(func, z0, ts, loss, **options)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"z0": [1.0, 2.0]}, "float, not a tensor"),
        ({"z0": 3.0}, "float, not a tensor"),
        ({"z0": torch.zeros(2, dtype=torch.long)}, "real floating-point"),
        ({"z0": torch.zeros(2, dtype=torch.complex128)}, "real floating-point"),
        ({"z0": torch.zeros(0)}, "no state"),
        ({"z0": torch.tensor([float("nan")])}, "NaN"),
        ({"z0": (Z0, Z0.float())}, "differ in dtype"),
        ({"z0": ()}, "empty tuple"),
        ({"ts": (0.0,)}, "at least two entries (t0, t1)"),
        ({"ts": (0.0, 1.0, 1.0)}, "strictly"),
        ({"ts": (0.0, 2.0, 1.0)}, "strictly"),
        ({"ts": (0.0, float("nan"))}, "NaN"),
        ({"ts": "ab"}, "sequence of numbers"),
        ({"func": 3}, "not a callable"),
        ({"loss": None}, "not a callable"),
        ({"params": {"k": 2.0}}, "not a floating-point tensor"),
        ({"params": {"k": torch.ones(1).int()}}, "not a floating-point"),
        ({"func": nn.Linear(2, 2), "params": {}}, "nn.Module"),
    ],
)  # fmt: skip
def test_refused_when_made(changes, said):
    with pytest.raises(ProblemError) as caught:
        make(**changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"func": lambda t, z: z[:1]}, "returned shape (1,)"),
        ({"func": lambda t, z: z.float()}, "--dtype float32"),
        ({"func": lambda t, z: None}, "NoneType"),
        ({"func": lambda t, z: (z, z)}, "tuple"),
        ({"func": lambda t, z: z / 0 * 0}, "NaN or infinite"),
        ({"func": lambda t, z: z.nothing}, "AttributeError"),
        ({"func": lambda z: z}, "TypeError"),
        ({"z0": (Z0, Z0), "func": lambda t, z: z[0]}, "state that is a tuple"),
        ({"z0": (Z0, Z0), "func": lambda t, z: (z[0],)}, "1 tensors for a state of 2"),
        ({"loss": lambda zs: zs}, "scalar"),
        ({"loss": lambda zs: float(zs.sum())}, "float, not a scalar tensor"),
        ({"loss": lambda zs: zs.none()}, "loss raised AttributeError"),
    ],
)
def test_refused_when_evaluated(changes, said):
    with pytest.raises(ProblemError) as caught:
        validate(make(**changes))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_frozen_parameters_do_not_count_and_shared_ones_count_once():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).double()
    module[1].weight = module[0].weight
    module[0].bias.requires_grad_(False)
    assert list(make(func=module).params) == ["0.weight", "1.bias"]


def test_moving_leaves_the_original_alone():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, t, z):
            return self.layer(z)

    problem = make(func=Net(), z0=Z0.float())
    moved = problem.to(torch.float64, torch.device("cpu"))
    assert moved.dtype == torch.float64
    assert moved.params["layer.weight"].dtype == torch.float64
    assert problem.dtype == torch.float32
    assert problem.params["layer.weight"].dtype == torch.float32
    # The same rounded parameters, not new ones.
    assert torch.equal(moved.params["layer.weight"].float(), problem.params["layer.weight"])


def test_closures_move_with_their_parameters():
    k = torch.tensor(2.0)
    problem = make(func=lambda t, z: -k * z, z0=Z0.float(), params={"k": k})
    moved = problem.to(torch.float64, torch.device("cpu"))
    assert moved.params["k"].dtype == torch.float64
    with torch.no_grad():
        moved.params["k"].fill_(3.0)
        assert torch.equal(moved.func(torch.tensor(0.0), Z0), -3 * Z0)
    assert float(k.detach()) == 2.0


def test_a_loss_that_uses_the_module_moves_with_it():
    net = nn.Linear(2, 2)
    field = nn.Module()
    field.net = net
    field.forward = lambda t, z: net(z)
    problem = make(func=field, z0=Z0.float(), loss=lambda zs: zs.sum() + (net.weight**2).sum())
    moved = problem.to(torch.float64, torch.device("cpu"))
    loss = moved.loss_of(Z0[None])
    (found,) = torch.autograd.grad(loss, [moved.params["net.weight"]])
    assert torch.equal(found, 2 * moved.params["net.weight"].detach())


def test_a_module_that_cannot_be_copied_is_evaluated_with_other_tensors():
    class Locked(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = nn.Parameter(torch.tensor(2.0))
            self.lock = threading.Lock()

        def forward(self, t, z):
            return self.k * z

    module = Locked()
    moved = make(func=module, z0=Z0.float()).to(torch.float64, torch.device("cpu"), copy=True)
    value = moved.func(torch.tensor(0.0, dtype=torch.float64), Z0)
    assert value.dtype == torch.float64
    assert module.k.dtype == torch.float32
    (found,) = torch.autograd.grad(value.sum(), [moved.params["k"]])
    assert found == Z0.sum()


def test_tensors_that_are_not_in_params_are_asked_for():
    k = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ProblemError, match="not in params"):
        validate(make(func=lambda t, z: -k * z))


def test_tensors_computed_from_a_parameter_outside_of_f_are_refused():
    w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    doubled = 2 * w
    with pytest.raises(ProblemError, match=r"computed from params\['w'\] outside"):
        validate(make(func=lambda t, z: -doubled * z, params={"w": w}))


@pytest.mark.parametrize(
    ("func", "said"),
    [
        (lambda t, z: [z], "not a tensor"),
        (lambda t, z: torch.ones(2, 2) @ z, "register it .* or check with --dtype float32"),
        (lambda t, z: sys.exit(0), "raised SystemExit: 0"),
        (lambda t, z: z.to(torch.complex128), "return the state's own dtype"),
    ],
)
def test_dynamics_that_cannot_be_used(func, said):
    with pytest.raises(ProblemError, match=said):
        validate(make(func=func))


@pytest.mark.parametrize(
    ("func", "changed"),
    [
        (lambda t, z: z.mul_(2), ["state"]),
        (lambda t, z: z * t.mul_(2), ["time"]),
        (lambda t, z: z.mul_(t.add_(1)), ["state", "time"]),
        (lambda t, z: z.clone().mul_(2), []),
    ],
)
def test_what_f_changes_in_place_is_noted_and_it_gets_copies(func, changed):
    problem = make(func=func)
    validate(problem)
    assert problem.mutated == changed
    moved = problem.to(torch.float64, torch.device("cpu"), copy=True)
    t, z = torch.tensor(0.5, dtype=torch.float64), Z0.clone()
    first = Field(moved)(t, z)
    assert torch.equal(Field(moved)(t, z), first)
    assert torch.equal(z, Z0)
    assert float(t) == 0.5


def test_a_state_that_is_changed_only_on_the_way_is_refused():
    field = Field(make(func=lambda t, z: z.mul_(2) if float(t) > 0.5 else z))
    field(torch.tensor(0.0), Z0.clone())
    with pytest.raises(ProblemError, match=r"in place at t = 0\.7"):
        field(torch.tensor(0.7), Z0.clone())


def test_a_shape_that_changes_on_the_way_is_named():
    field = Field(make(func=lambda t, z: z if float(t) < 0.5 else z.sum()))
    field(torch.tensor(0.0), Z0)
    with pytest.raises(ProblemError, match=r"shape \(\) .* at t = 0.7"):
        field(torch.tensor(0.7), Z0)


def test_f_may_take_the_time_out_of_the_graph_as_in_other_libraries():
    field = Field(make(func=lambda t, z: z * float(np.interp(t.numpy(), [0.0, 1.0], [1.0, 2.0]))))
    t = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    assert torch.equal(field(t, Z0), 1.5 * Z0)
    assert field.nfe == 1


def test_a_list_will_do_for_a_tuple_state():
    problem = make(z0=(Z0, Z0), func=lambda t, z: [-z[0], z[1]], loss=lambda zs: zs[0].sum())
    validate(problem)
    value = Field(problem)(torch.tensor(0.0, dtype=torch.float64), problem.flat_z0())
    assert torch.equal(value, torch.cat([-Z0, Z0]))


def test_batch_normalisation_in_training_mode_is_vmapped():
    norm = nn.BatchNorm1d(2).double()
    field = nn.Module()
    field.norm = norm
    field.forward = lambda t, z: norm(z)
    problem = make(func=field, z0=torch.randn(3, 2, dtype=torch.float64))
    f = Field(problem)
    z = problem.flat_z0()
    t = torch.zeros(2, dtype=torch.float64)
    params = {name: p.detach() for name, p in problem.params.items()}
    many = f.batched([])(t, torch.stack([z, 2 * z]), params)
    before = norm.num_batches_tracked.clone()
    torch.testing.assert_close(many[0], f(t[0], z))
    assert before == 0  # the lanes had buffers of their own


class AddsUp(nn.Module):
    """A term of the loss, as regularised training has it, and a list of what was seen."""

    def __init__(self):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.term = torch.zeros((), dtype=torch.float64)
        self.seen = []

    def forward(self, t, z):
        value = -self.k * z
        self.term = self.term + value.square().sum()
        self.seen.append(value)
        return value


def adding_closure():
    k, held = torch.tensor(0.5, dtype=torch.float64), torch.zeros((), dtype=torch.float64)

    def func(t, z):
        nonlocal held
        held = held + z.square().sum()
        return -k * z + 0.0 * held

    return make(func=func, params={"k": k})


@pytest.mark.parametrize("make_it", [lambda: make(func=AddsUp()), adding_closure])
@pytest.mark.parametrize("own", [None, []], ids=["own", "shared"])
def test_what_f_adds_up_outlives_many_evaluations_at_once(make_it, own):
    """A tensor of the transform would make every evaluation after it raise."""
    problem = make_it()
    f = Field(problem)
    t = torch.zeros(3, dtype=torch.float64)
    z = torch.stack([problem.flat_z0()] * 3)
    rows = {k: p.detach() if own == [] else p.detach().repeat(3) for k, p in problem.params.items()}
    many = f.batched(own)
    for _ in range(2):
        torch.testing.assert_close(many(t, z, rows), -0.5 * z, rtol=1e-15, atol=0)
        assert torch.equal(f(t[0], z[0]), -0.5 * z[0])
    if isinstance(problem.func, AddsUp):
        assert len(problem.func.seen) == 2  # those of the two evaluations one by one
        assert problem.func.term.item() == 2 * (0.5 * z[0]).square().sum().item()


class Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[0.3, -1.0], [2.0, 0.1]], dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor([0.5, 0.25], dtype=torch.float64))

    def forward(self, t, z):
        return torch.tanh(z @ self.w) * t + self.b


def closure():
    w = torch.tensor([[0.3, -1.0], [2.0, 0.1]], dtype=torch.float64)
    b = torch.tensor([0.5, 0.25], dtype=torch.float64)
    return make(func=lambda t, z: torch.tanh(z @ w) * t + b, params={"w": w, "b": b})


@pytest.mark.parametrize("problem", [make(func=Module()), closure()], ids=["module", "closure"])
def test_many_evaluations_at_once(problem):
    """One by one, looped and vmapped, each row with parameters of its own, or some shared."""
    f = Field(problem)
    generator = torch.Generator().manual_seed(0)
    t = torch.rand(4, generator=generator, dtype=torch.float64)
    z = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    w = torch.randn(4, 2, 2, generator=generator, dtype=torch.float64)
    b = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    expected = torch.stack([torch.tanh(z[i] @ w[i]) * t[i] + b[i] for i in range(4)])
    # The same sums of two products; a matrix product may add them the other way round.
    torch.testing.assert_close(
        f.batched()(t, z, {"w": w, "b": b}), expected, rtol=1e-14, atol=1e-15
    )
    torch.testing.assert_close(f.looped()(t, z, {"w": w, "b": b}), expected, rtol=1e-14, atol=1e-15)
    shared = torch.stack([torch.tanh(z[i] @ w[0]) * t[i] + b[i] for i in range(4)])
    for many in (f.batched(["b"]), f.looped(["b"])):
        torch.testing.assert_close(many(t, z, {"w": w[0], "b": b}), shared, rtol=1e-14, atol=1e-15)
    assert f.nfe == 0


def test_evaluations_are_counted_in_the_field():
    f = Field(make())
    for _ in range(3):
        f(torch.tensor(0.0, dtype=torch.float64), Z0)
    assert f.nfe == 3


def test_a_function_that_wants_its_params_is_told_that_it_closes_over_them():
    k = torch.tensor(1.0, dtype=Z0.dtype)
    problem = make(func=lambda t, z, k: -k * z, params={"k": k})
    with pytest.raises(ProblemError, match="it closes over the tensors of params"):
        validate(problem)


def test_a_check_that_is_started_under_autocast_is_told_to_start_outside():
    w = torch.eye(2)
    problem = make(func=lambda t, z: z @ w, z0=torch.ones(1, 2), params={"w": w})
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(ProblemError, match=r"the check was started under torch\.autocast"),
    ):
        validate(problem)
