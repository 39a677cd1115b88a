import pytest
import torch

from trimtab.errors import OptionError
from trimtab.nets.mlp import MLP, embedding_size


def mlp(**network):
    return MLP(**{"continuous": 2, "numbers": 5, "cardinalities": (4, 90), "outputs": 3, **network})


def rows(count=6):
    return torch.randn(count, 5), torch.stack([torch.arange(count) % 4, torch.arange(count) % 90], dim=1)


@pytest.mark.parametrize("depth", [0, 1, 4])
@pytest.mark.parametrize("inputs", ["scaled", "periodic"])
def test_it_gives_one_row_of_outputs_per_row_of_inputs(depth, inputs):
    assert mlp(depth=depth, inputs=inputs)(*rows()).shape == (6, 3)


def test_depth_zero_is_a_linear_model_that_starts_at_zero():
    module = mlp(depth=0)
    assert torch.equal(module(*rows()), torch.zeros(6, 3))
    torch.nn.init.normal_(module.output.weight)
    numbers, codes = rows()
    bias = module(torch.zeros_like(numbers), codes)
    left, right = module(numbers, codes) - bias, module(3 * numbers, codes) - bias
    torch.testing.assert_close(right, 3 * left)


def test_every_category_has_an_entry_of_its_own():
    module = mlp(depth=1)
    numbers, _ = rows(4)
    outputs = module(numbers[:1].expand(4, 5), torch.tensor([[0, 0], [1, 0], [2, 0], [0, 89]]))
    assert len(torch.unique(outputs, dim=0)) == 4


def test_embeddings_grow_with_the_number_of_categories():
    sizes = [embedding_size(count) for count in (2, 13, 50, 1000, 10**6)]
    assert sizes == sorted(sizes) and sizes[0] >= 2 and sizes[-1] == 24


@pytest.mark.parametrize("network", [{"width": 0}, {"depth": -1}, {"activation": "swish"}, {"inputs": "raw"}], ids=str)
def test_a_network_that_cannot_be_says_so(network):
    with pytest.raises(OptionError):
        mlp(**network)


@pytest.mark.parametrize(
    "network", [{"cardinalities": ()}, {"continuous": 0}, {"numbers": 0, "continuous": 0}], ids=str
)
def test_tables_of_one_kind_of_column_are_fine(network):
    module = mlp(depth=2, inputs="periodic", **network)
    numbers = torch.randn(6, network.get("numbers", 5))
    codes = rows()[1] if network.get("cardinalities", (1,)) else torch.zeros(6, 0, dtype=torch.int64)
    assert module(numbers, codes).isfinite().all()
