import torch
from torch import nn

from trimtab.training.programs.dropout import CountedDropout, with_counted_dropout
from trimtab.training.randomness import keep_mask, mask_key, place_numbers, threshold_of


def kept_share(rate, seed=0, step=0, layer=0, shape=(200, 300)):
    key = mask_key(torch.tensor(seed), torch.tensor(step), layer)
    return keep_mask(place_numbers(shape, torch.device("cpu")), key, threshold_of(torch.tensor(rate)))


def test_the_share_of_units_that_survive_is_one_minus_the_rate():
    for rate in (0.1, 0.35, 0.5, 0.9):
        assert abs(kept_share(rate).double().mean().item() - (1 - rate)) < 0.01


def test_masks_of_different_seeds_steps_and_layers_are_independent():
    first = kept_share(0.5)
    for other in (kept_share(0.5, seed=1), kept_share(0.5, step=1), kept_share(0.5, layer=1), kept_share(0.5, layer=7)):
        assert abs((first == other).double().mean().item() - 0.5) < 0.02


def test_rows_and_units_of_a_mask_are_even():
    mask = kept_share(0.5).double()
    assert mask.mean(0).min() > 0.3 and mask.mean(0).max() < 0.7
    assert mask.mean(1).min() > 0.3 and mask.mean(1).max() < 0.7


def test_the_callers_module_keeps_its_own_dropout():
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 1))
    copy, names = with_counted_dropout(module)
    assert names == ("1",)
    assert isinstance(module[1], nn.Dropout) and isinstance(copy[1], CountedDropout)
    assert torch.isclose(copy[1].rate, torch.tensor(0.3))


def test_evaluation_drops_nothing_and_training_keeps_the_mean():
    layer = CountedDropout(0.4)
    x = torch.ones(100, 100)
    assert torch.equal(layer.eval()(x), x)
    assert abs(layer.train()(x).mean().item() - 1.0) < 0.03


def test_channel_dropout_drops_whole_channels():
    copy, _ = with_counted_dropout(nn.Sequential(nn.Dropout2d(0.5)))
    out = copy.train()(torch.ones(8, 16, 5, 5)).flatten(2)
    assert ((out == 0).all(-1) | (out == 2).all(-1)).all()
