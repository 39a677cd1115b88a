import pytest
import torch

from trimtab.errors import OptionError
from trimtab.knobs.table import INPUTS
from trimtab.nets.embeddings import PiecewiseEmbedding
from trimtab.nets.mlp import MLP, embedding_size

EDGES = ((-1.0, 0.0, 2.0), (-0.5, 0.5))


def mlp(**network):
    known = {"continuous": 2, "numbers": 5, "cardinalities": (4, 90), "outputs": 3, "edges": EDGES}
    return MLP(**{**known, **network})


def rows(count=6):
    return torch.randn(count, 5), torch.stack([torch.arange(count) % 4, torch.arange(count) % 90], dim=1)


@pytest.mark.parametrize("depth", [0, 1, 4])
@pytest.mark.parametrize("inputs", INPUTS)
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


def test_what_piecewise_inputs_learn_of_a_number_bends_at_the_edges_of_its_bins_alone():
    embedding = PiecewiseEmbedding(((-1.0, 0.0, 2.0), (0.0, 1.0)), size=3)

    def learnt(*values):
        x = torch.tensor(values).view(-1, 1).expand(-1, 2)
        return embedding(x).detach()[:, :3]  # the first column and its features

    low, middle, high = learnt(-1.0, -0.5, 0.0)
    torch.testing.assert_close(middle, (low + high) / 2)
    low, middle, high = learnt(-0.5, 0.0, 0.5)
    assert not torch.allclose(middle[1:], (low + high)[1:] / 2)
    below, first, last, above = learnt(-9.0, -1.0, 2.0, 9.0)
    torch.testing.assert_close(below[1:], first[1:])  # beyond the outermost edges the number itself goes on alone
    torch.testing.assert_close(above[1:], last[1:])
    assert below[0] == -9.0 and above[0] == 9.0
    torch.testing.assert_close(first[1:], embedding.bias[0].detach())
    torch.testing.assert_close(last[1:], (embedding.bias[0] + embedding.weight[0].sum(0)).detach())


def test_a_column_of_fewer_bins_than_others_never_enters_the_rest():
    embedding = PiecewiseEmbedding(((-1.0, 0.0, 2.0), (0.0, 1.0)))
    torch.nn.init.constant_(embedding.weight[1, 1], 1e9)
    assert embedding(torch.tensor([[0.0, 0.5], [0.0, 7.0]])).abs().max() < 100


@pytest.mark.parametrize(
    "network",
    [{"width": 0}, {"depth": -1}, {"activation": "swish"}, {"inputs": "raw"},
     {"inputs": "piecewise", "edges": EDGES[:1]}], ids=str,
)  # fmt: skip
def test_a_network_that_cannot_be_says_so(network):
    with pytest.raises(OptionError):
        mlp(**network)


@pytest.mark.parametrize(
    "network", [{"cardinalities": ()}, {"continuous": 0}, {"numbers": 0, "continuous": 0}], ids=str
)
@pytest.mark.parametrize("inputs", INPUTS)
def test_tables_of_one_kind_of_column_are_fine(network, inputs):
    module = mlp(depth=2, inputs=inputs, **network)
    numbers = torch.randn(6, network.get("numbers", 5))
    codes = rows()[1] if network.get("cardinalities", (1,)) else torch.zeros(6, 0, dtype=torch.int64)
    assert module(numbers, codes).isfinite().all()
