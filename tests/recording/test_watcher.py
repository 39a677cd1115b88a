"""recorder.watch: the signals are the engine's, and the training is the same with and without."""

import copy
import io
import subprocess
import sys

import pytest
import torch
from torch import nn

import trimtab as tt


def rows(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 5, generator=generator)
    return x, (x[:, :1] * 2 + x[:, 1:2].square()).contiguous()


def network(seed: int = 0, *, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(5, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1)
    )
    with torch.no_grad():
        module[0].bias[:3] = -100.0  # dead
        module[3].bias[:2] = 50.0  # saturated, and hence dead too
    return module


def trained(recorder: tt.Recorder | None, *, epochs: int = 3, batch: int = 16, clip: float | None = 0.01) -> nn.Module:
    """The loop everybody writes."""
    module = network(dropout=0.3)
    x, y = rows(96)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    if recorder is not None:
        recorder.watch(module, optimizer)
    for _ in range(epochs):
        module.train()
        for places in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(module(x[places]), y[places])
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
        schedule.step()
        module.eval()
        with torch.no_grad():
            validation = nn.functional.mse_loss(module(x[:20]), y[:20])
        if recorder is not None:
            recorder.epoch(train_loss=loss, validation_loss=validation)
    return module


def test_training_is_the_same_to_the_last_bit_with_and_without() -> None:
    plain = trained(None)
    state = torch.get_rng_state()
    watched = trained(tt.Recorder())
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.grad is not None and b.grad is not None and torch.equal(a.grad, b.grad)


def test_the_signals_are_those_of_fit() -> None:
    module, (x, y), (xv, yv) = network(), rows(64), rows(40, seed=1)
    run = tt.fit(module, train=(x, y), valid=(xv, yv), optimizer="gd", lr=0.05, epochs=4, gradient_clip=0.5, loss="mse")
    recorder = tt.Recorder()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    recorder.watch(module, optimizer)
    for _ in range(4):
        module.train()
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(module(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 0.5)
        optimizer.step()
        module.eval()
        for part in (slice(0, 25), slice(25, 40)):
            with torch.no_grad():
                module(xv[part])
        recorder.epoch(train_loss=loss, validation_loss=nn.functional.mse_loss(module(xv), yv))
    told, own = recorder.run().curves, run.curves
    scalars = ["train_loss", "validation_loss", "validation_metric", "learning_rate", "gradient_norm", "update_ratio"]
    for name in (*scalars, "dead_units", "saturated_units"):
        assert told[name].to_list() == pytest.approx(own[name].to_list(), rel=2e-4), name
    for name in ("gradient_norms", "dead_by_layer", "saturated_by_layer"):
        for mine, theirs in zip(told[name].to_list(), own[name].to_list(), strict=True):
            assert mine == pytest.approx(theirs, rel=2e-4), name
    assert told["dead_by_layer"][0].to_list() == [3 / 16, 2 / 8]
    assert told["saturated_by_layer"][0].to_list() == [0, 2 / 8]


def test_every_fourth_step_is_noted_before_clipping_and_the_rate_is_that_of_the_last() -> None:
    weight = nn.Linear(1, 1, bias=False)
    nn.init.constant_(weight.weight, 2.0)
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    recorder = tt.Recorder()
    recorder.watch(weight, optimizer)
    for step, slope in enumerate((3.0, 9.0, 9.0, 9.0, 4.0, 9.0)):
        optimizer.zero_grad()
        (weight(torch.ones(1, 1)) * slope).sum().backward()
        nn.utils.clip_grad_norm_(weight.parameters(), 1.0)
        before = weight.weight.item()
        optimizer.param_groups[0]["lr"] = 0.5 / (step + 1)
        optimizer.step()
        if step == 4:
            ratio = abs(weight.weight.item() - before) / abs(before)
    recorder.epoch(train_loss=1.0)
    row = recorder.curves.row(0, named=True)
    assert row["gradient_norm"] == pytest.approx((12.5) ** 0.5)
    assert row["update_ratio"] == pytest.approx(ratio)
    assert row["learning_rate"] == pytest.approx(0.5 / 6)
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["gradient_norm"].to_list()[1] is None, "each row has its own steps"


def test_gradients_add_up_over_several_backward_passes() -> None:
    weight = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    recorder = tt.Recorder()
    recorder.watch(weight, optimizer)
    for slope in (3.0, 4.0):
        (weight(torch.ones(1, 1)) * slope).sum().backward()
    optimizer.step()
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["gradient_norm"].to_list() == pytest.approx([7.0])


def losses_and_curves(optimizer, *, gives_closure: bool, micro: int = 1, epochs: int = 3, **options):
    """A loop of six steps an epoch, the weights it ends with and what was noted."""
    torch.manual_seed(0)
    module, (x, y) = network(), rows(96)
    made = optimizer(module.parameters(), **options)
    recorder = tt.Recorder()
    recorder.watch(module, made)
    for _ in range(epochs):
        for places in torch.arange(96).split(16):

            def closure(places=places):
                made.zero_grad()
                for part in places.split(len(places) // micro):
                    (nn.functional.mse_loss(module(x[part]), y[part]) / micro).backward()
                nn.utils.clip_grad_norm_(module.parameters(), 0.5)
                return torch.tensor(1.0)

            if gives_closure == "by name":
                made.step(closure=closure)
            elif gives_closure:
                made.step(closure)
            else:
                closure()
                made.step()
        recorder.epoch(train_loss=1.0)
    return [p.detach().clone() for p in module.parameters()], recorder.curves


@pytest.mark.parametrize("gives_closure", [True, "by name"])
@pytest.mark.parametrize("micro", [1, 2])
def test_a_step_that_is_given_a_closure_has_the_gradients_of_that_step(gives_closure, micro):
    weights, curves = losses_and_curves(torch.optim.SGD, gives_closure=gives_closure, micro=micro, lr=0.1)
    expected, plain = losses_and_curves(torch.optim.SGD, gives_closure=False, micro=micro, lr=0.1)
    assert curves.equals(plain, null_equal=True)
    assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))


def test_of_many_closures_in_a_step_the_first_counts_as_it_does_for_tt_fit():
    module, (x, y) = network(), rows(64)
    lbfgs = lambda parameters: torch.optim.LBFGS(parameters, lr=0.1, max_iter=3)  # noqa: E731
    run = tt.fit(module, (x, y), (x, y), optimizer=lbfgs, loss="mse", batch_size=0, epochs=3)
    optimizer = lbfgs(module.parameters())
    recorder = tt.Recorder()
    recorder.watch(module, optimizer)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(module(x), y)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        recorder.epoch(train_loss=1.0)
    for name in ("gradient_norm", "update_ratio"):
        assert recorder.curves[name].to_list() == pytest.approx(run.curves[name].to_list(), rel=1e-3), name


def test_a_gradient_that_is_gone_counts_as_none():
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-9)
    recorder = tt.Recorder()
    recorder.watch(module, optimizer)
    module(torch.full((1, 1), 1e6)).sum().backward()  # a step that is never made
    optimizer.zero_grad()
    module[1](torch.full((1, 1), 3.0)).sum().backward()
    optimizer.step()
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["gradient_norms"].to_list() == [[0.0, pytest.approx(3.0)]]


class LeavesItsClosure(torch.optim.SGD):
    def step(self, closure=None):  # type: ignore[override]
        super().step()


def test_an_optimizer_that_leaves_its_closure_alone_has_the_gradients_that_are_there():
    weight = nn.Linear(1, 1, bias=False)
    optimizer = LeavesItsClosure(weight.parameters(), lr=0.1)
    recorder = tt.Recorder()
    recorder.watch(weight, optimizer)
    (weight(torch.ones(1, 1)) * 3).sum().backward()
    optimizer.step(lambda: None)
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["gradient_norm"].to_list() == pytest.approx([3.0])


def test_gradients_are_divided_by_a_scaler_s_scale_and_steps_that_it_skips_do_not_count() -> None:
    weight = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    recorder = tt.Recorder()
    recorder.watch(weight, optimizer, scaler=scaler)
    for slope in (torch.inf, 3.0):
        optimizer.zero_grad()
        scaler.scale((weight(torch.ones(1, 1)) * slope).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["gradient_norm"].to_list() == pytest.approx([3.0])


def test_parameters_that_are_thawed_on_the_way_count_from_then_on() -> None:
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    for layer in module:
        nn.init.constant_(layer.weight, 1.0)
    module[0].requires_grad_(False)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-9)
    recorder = tt.Recorder()
    recorder.watch(module, optimizer)
    for thawed in (False, True):
        module[0].requires_grad_(thawed)
        optimizer.zero_grad()
        module(torch.full((1, 1), 3.0)).sum().backward()
        optimizer.step()
        recorder.epoch(train_loss=1.0)
    assert recorder.curves["gradient_norms"].to_list() == [pytest.approx([3.0]), pytest.approx([3.0, 3.0])]


def test_units_are_judged_on_passes_in_evaluation_mode_or_without_gradients_only() -> None:
    module = network()
    recorder = tt.Recorder()
    recorder.watch(module, torch.optim.SGD(module.parameters(), lr=0.1))
    module(rows(30)[0])
    recorder.epoch(train_loss=1.0)
    with torch.no_grad():
        module(rows(30)[0])
    recorder.epoch(train_loss=1.0)
    module.eval()(rows(30)[0])
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["dead_units"].to_list() == [None, pytest.approx(5 / 24), pytest.approx(5 / 24)]


class Shared(nn.Module):
    """One activation that serves two layers of one width, of which the first is dead."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(5, 4), nn.Linear(4, 4), nn.ReLU()
        with torch.no_grad():
            self.first.bias[:] = -100.0
            self.second.bias[:] = torch.arange(4.0) + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.second(self.relu(self.first(x)) + x[:, :4].abs() * 0.1))


@pytest.mark.parametrize("is_inside", [False, True])
def test_a_layer_that_serves_twice_counts_twice(is_inside: bool) -> None:
    inner = Shared()
    outer = nn.ModuleDict({"net": inner}) if is_inside else inner  # whose own forward is never called
    recorder = tt.Recorder()
    recorder.watch(outer, torch.optim.SGD(outer.parameters(), lr=0.1))
    outer.eval()
    for seed in (0, 1):
        inner(rows(30, seed)[0])
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["dead_by_layer"].to_list() == [[1.0, 0.0]]


def test_channels_are_the_units_of_convolutions() -> None:
    module = nn.Sequential(nn.Conv1d(2, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2), nn.Sigmoid())
    with torch.no_grad():
        module[0].bias[0] = -100.0  # type: ignore[index]
    recorder = tt.Recorder()
    recorder.watch(module, torch.optim.SGD(module.parameters(), lr=0.1))
    module.eval()(torch.randn(10, 2, 4))
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["dead_by_layer"].to_list() == [pytest.approx([1 / 3, 0])]
    assert recorder.curves["dead_units"].to_list() == [pytest.approx(1 / 5)]


def test_odd_outputs_and_sparse_gradients_do_no_harm() -> None:
    module = nn.Sequential(nn.EmbeddingBag(10, 3, sparse=True), nn.ReLU())
    optimizer = torch.optim.SparseAdam(list(module.parameters()))
    recorder = tt.Recorder()
    recorder.watch(module, optimizer)
    module(torch.tensor([[1, 2, 2]])).sum().backward()
    optimizer.step()
    module.eval()
    module[1](torch.tensor(1.0))
    module[1](torch.ones(0, 3))
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["gradient_norm"].to_list()[0] > 0
    assert recorder.curves["dead_units"].to_list() == [None]


def hooks_of(module: nn.Module) -> int:
    return sum(len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules())


@pytest.mark.parametrize("how", ["close", "remove", "another"])
def test_hooks_are_taken_off_again(how: str) -> None:
    module, other = network(), network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    recorder = tt.Recorder()
    watcher = recorder.watch(module, optimizer)
    assert hooks_of(module) > 0
    if how == "close":
        recorder.close()
    elif how == "remove":
        watcher.remove()
    else:
        recorder.watch(other, torch.optim.SGD(other.parameters(), lr=0.1))
    assert hooks_of(module) == 0
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks
    assert not any(p._post_accumulate_grad_hooks for p in module.parameters())


def test_copies_and_pickles_of_a_watched_module_are_not_watched_and_need_no_trimtab() -> None:
    module = network()
    recorder = tt.Recorder()
    recorder.watch(module, torch.optim.SGD(module.parameters(), lr=0.1))
    file = io.BytesIO()
    torch.save(module, file)
    best = copy.deepcopy(module)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    x = rows(10)[0]
    for other in (best, again):
        assert torch.equal(other.eval()(x), module.train()(x))
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["dead_units"].to_list() == [None]
    reads = "import sys, io, torch; module = torch.load(io.BytesIO(sys.stdin.buffer.read()), weights_only=False)"
    uses = "module.eval()(torch.ones(2, 5)); assert 'trimtab' not in sys.modules"
    ended = subprocess.run([sys.executable, "-c", f"{reads}; {uses}"], input=file.getvalue(), check=False)
    assert ended.returncode == 0


def test_what_was_told_stands_before_what_was_watched() -> None:
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    recorder = tt.Recorder()
    recorder.watch(module, optimizer)
    module(rows(4)[0]).sum().backward()
    optimizer.step()
    recorder.epoch(train_loss=1.0, lr=7.0, grad_norm=8.0)
    row = recorder.curves.row(0, named=True)
    assert (row["learning_rate"], row["gradient_norm"]) == (7.0, 8.0)
    assert row["update_ratio"] > 0


def test_what_cannot_be_watched_is_refused() -> None:
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with pytest.raises(tt.OptionError, match="The module to watch is of type list"):
        tt.Recorder().watch([module], optimizer)
    with pytest.raises(tt.OptionError, match="The optimizer to watch is of type str"):
        tt.Recorder().watch(module, "adam")
    with pytest.raises(tt.OptionError, match="trains no parameter of the module"):
        tt.Recorder().watch(network(), optimizer)
    assert hooks_of(module) == 0


def test_a_compiled_module_trains_the_same_and_its_gradients_are_seen() -> None:
    recorder = tt.Recorder()
    results = []
    for is_watched in (False, True):
        module = network()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        compiled = torch.compile(module, backend="aot_eager")
        if is_watched:
            recorder.watch(compiled, optimizer)
        for _ in range(2):
            optimizer.zero_grad()
            compiled(rows(16)[0]).square().mean().backward()
            optimizer.step()
        results.append([p.detach().clone() for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    recorder.epoch(train_loss=1.0)
    assert recorder.curves["gradient_norm"].to_list()[0] > 0
