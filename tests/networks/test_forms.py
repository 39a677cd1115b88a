"""The same rows under the same names in all three calls."""

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import trimtab as tt
from trimtab.training.randomness import initialised

X = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
HOW = {"epochs": 2, "batch_size": 10}


def net():
    return initialised(lambda: nn.Linear(3, 1), 0)


def fit(*args, **options):
    return tt.fit(net(), *args, **HOW, lr=0.05, **options).score


def sweep(*args, **options):
    return tt.sweep(net(), *args, **HOW, lr=[0.05, 0.01], seeds=1, **options).runs[0].score


@pytest.fixture
def tune(tmp_path):
    def tuned(*args, **options):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        return tt.tune(
            net(), *args, space={"lr": [0.05]}, trials=1, budget="60s", out=out, **HOW, **options
        ).winner.error

    return tuned


TRAIN, VALID = (X[:40], Y[:40]), (X[40:], Y[40:])
WAYS = {
    "in its place": (lambda call, train: call(train, valid=VALID)),
    "as train": (lambda call, train: call(train=train, valid=VALID)),
    "as data": (lambda call, train: call(data=train, valid=VALID)),
}
FORMS = {
    "pair": TRAIN,
    "arrays": tuple(part.numpy() for part in TRAIN),
    "weights": (*TRAIN, numpy.full(40, 2.0)),
    "Dataset": TensorDataset(*TRAIN),
    "DataLoader": DataLoader(TensorDataset(*TRAIN), batch_size=10, shuffle=True),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_all_calls_take_rows_in_all_forms_under_both_names(way, form, tune):
    expected = fit(TRAIN, VALID)
    for call in (fit, sweep, tune):
        score = WAYS[way](call, FORMS[form])
        assert score == pytest.approx(expected**0.5 if call is tune else expected, rel=1e-5)


@pytest.mark.parametrize("call", [tt.fit, tt.sweep, tt.tune], ids=lambda call: call.__name__)
def test_both_names_and_none_are_refused_everywhere(call):
    more = {"lr": [0.1, 0.2]} if call is tt.sweep else {"space": {"lr": [0.1]}} if call is tt.tune else {}
    with pytest.raises(tt.OptionError, match="two names for the same"):
        call(net(), train=TRAIN, data=TRAIN, **more)
    with pytest.raises(tt.OptionError, match=r"There is no data: give train=\(X, y\)"):
        call(net(), **more)
    with pytest.raises(tt.TrimtabError, match='Unknown knob "trian"'):
        call(net(), TRAIN, trian=TRAIN, **more)


def test_rows_to_test_on_come_in_the_same_forms(tmp_path):
    for i, test in enumerate((VALID, TensorDataset(*VALID), DataLoader(TensorDataset(*VALID), batch_size=4))):
        study = tt.tune(net(), TRAIN, valid=VALID, test=test, space={"lr": [0.05]}, trials=1, budget="60s", **HOW,
                        out=tmp_path / str(i))  # fmt: skip
        assert study.result["test"]["rmse"] == pytest.approx(study.winner.error, rel=1e-5)


def test_a_column_is_still_no_place_for_networks():
    with pytest.raises(tt.OptionError, match="target= belongs to tables"):
        tt.tune(net(), "price", data=TRAIN, space={"lr": [0.1]})
    with pytest.raises(tt.OptionError, match="target= belongs to tables"):
        tt.tune(net(), target=VALID, data=TRAIN, space={"lr": [0.1]})


def test_a_search_trains_whatever_the_caller_had_switched_off(tune):
    expected = tune(TRAIN, valid=VALID)
    with torch.no_grad():
        assert tune(TRAIN, valid=VALID) == expected
    with torch.inference_mode():
        assert tune(TRAIN, valid=VALID) == expected
