"""Where networks come from: copied, or made once for each seed, and given back in their own precision."""

import copy

import pytest
import torch
from torch import nn

from trimtab.errors import FactoryError, ModuleError
from trimtab.networks.networks import Networks
from trimtab.training.programs.program import Layout
from trimtab.training.randomness import initialised, number_from


def test_a_factory_is_called_once_for_each_seed_and_arguments():
    calls = []

    def factory(width, depth=1):
        calls.append((width, depth))
        return nn.Linear(width, 1)

    networks = Networks(factory)
    assert networks.knobs == ("width", "depth") and not networks.takes_any_knob
    for _ in range(2):
        for seed in (0, 1):
            networks.made({"width": 3}, seed)
            networks.made({"width": 4, "depth": 2}, seed)
    assert calls == [(3, 1), (4, 2)] * 2
    assert not torch.equal(networks.made({"width": 3}, 0).weight, networks.made({"width": 3}, 1).weight)
    expected = initialised(lambda: nn.Linear(3, 1), number_from("run", 1, 0))
    assert torch.equal(networks.made({"width": 3}, 1).weight, expected.weight)


def test_a_module_is_copied_once_whatever_the_seed():
    module = nn.Linear(2, 1)
    networks = Networks(module)
    made = networks.made({}, 0)
    assert made is networks.made({}, 5) and made is not module and torch.equal(made.weight, module.weight)
    assert networks.knobs == ()


def test_filled_networks_are_copies_in_their_own_precision_and_mode():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1).double()
            self.register_buffer("mean", torch.zeros(1, dtype=torch.float64))
            self.register_buffer("still", torch.tensor([1 / 3], dtype=torch.float64))

    networks = Networks(Mixed())
    made = networks.made({}, 0)
    assert {t.dtype for t in made.state_dict().values()} == {torch.float64}
    weights = torch.arange(3.0).double() / 3
    buffers = {"mean": torch.ones(1), "still": made.still.clone()}
    module = networks.filled({}, 0, weights, buffers)
    assert {t.dtype for t in module.state_dict().values()} == {torch.float64} and not module.training
    torch.testing.assert_close(torch.cat([p.flatten() for p in module.parameters()]), weights, rtol=0, atol=0)
    assert float(module.mean) == 1 and float(module.still) == 1 / 3
    before = copy.deepcopy(networks.made({}, 0).state_dict())
    module.layer.weight.data.zero_()
    assert all(torch.equal(v, before[n]) for n, v in networks.made({}, 0).state_dict().items())


def test_what_is_no_network_is_said():
    cases = [
        (nn.Identity(), "no parameters"),
        (nn.Linear(1, 1).requires_grad_(requires_grad=False), "frozen"),
        (nn.LazyLinear(1), "lazy"),
        (nn.Linear(1, 1, dtype=torch.complex64), "complex"),
        (nn.utils.weight_norm(nn.Linear(1, 1)), "cannot be copied"),
    ]
    for module, words in cases:
        with pytest.raises(ModuleError, match=words):
            Networks(module).made({}, 0)
    for given in (3, "net", None, dict):
        with pytest.raises(ModuleError, match=r"torch\.nn\.Module"):
            Networks(given)
    with pytest.raises(FactoryError, match=r"factory\(width=2\), raised KeyError"):
        Networks(lambda width: {}[width]).made({"width": 2}, 0)


def test_a_network_that_is_parametrized_is_filled():
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.Linear(2, 1))
    networks = Networks(module)
    size = Layout.of(networks.made({}, 0)).size
    filled = networks.filled({}, 0, torch.ones(size), {})
    assert all(bool((p == 1).all()) for p in filled.parameters())
