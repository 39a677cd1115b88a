"""What tt.fit cannot use is said in one sentence, each kind by an error of its own."""

import numpy
import pandas
import pytest
import torch
from torch import nn

import trimtab as tt

ROWS, HELD = 60, 24
_generator = numpy.random.default_rng(0)
X = _generator.normal(size=(ROWS + HELD, 3)).astype(numpy.float32)
Y = (X @ numpy.array([1.0, 2.0, -1.0], numpy.float32)).astype(numpy.float32)
LABELS = (Y > 0).astype(numpy.int64) + (Y > 1)
TRAIN, VALID = (X[:ROWS], Y[:ROWS]), (X[ROWS:], Y[ROWS:])
TRAIN_LABELS, VALID_LABELS = (X[:ROWS], LABELS[:ROWS]), (X[ROWS:], LABELS[ROWS:])


def net(outputs=1):
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, outputs))


def fit(module=None, train=TRAIN, valid=VALID, **options):
    return tt.fit(net() if module is None else module, train, valid, **{"epochs": 2, **options})


class Listener:
    def epoch_ended(self, run, values):
        return False


def labels_with(place, label):
    changed = LABELS[:ROWS].copy()
    changed[place] = label
    return X[:ROWS], changed


LATE = numpy.arange(ROWS)
NAN_AT_SEVEN = numpy.where(numpy.arange(180).reshape(ROWS, 3) == 22, numpy.nan, X[:ROWS])


def raising(width=1):
    raise ValueError(f"no such width: {width}")


REFUSED = {
    "rows that are not as many": (tt.ShapeError, "60 rows and y has 59", {"train": (X[:ROWS], Y[: ROWS - 1])}),
    "inputs the network cannot take": (tt.ModuleError, r"\[10, 2\]", {"train": (X[:ROWS, :2], Y[:ROWS])}),
    "inputs of one dimension": (tt.ModuleError, r"X\[:, None\]", {"train": (X[:ROWS, 0], Y[:ROWS])}),
    "other inputs to judge by": (tt.ShapeError, r"valid= have rows of shape \[2\]", {"valid": (X[:5, :2], Y[:5])}),
    "targets that are not as many": (
        tt.ShapeError,
        r"\[2\] and the network returns \[1\]",
        {"train": (X[:ROWS], numpy.stack([Y, Y], 1)[:ROWS])},
    ),
    "NaN in inputs": (
        tt.NotFiniteError,
        r"X of train= holds NaN, first at \[7, 1\]",
        {"train": (NAN_AT_SEVEN, Y[:ROWS])},
    ),
    "NaN in inputs, a share aside": (
        tt.NotFiniteError,
        r"first at \[7, 1\]",
        {"train": (NAN_AT_SEVEN, Y[:ROWS]), "valid": 0.3},
    ),
    "NaN in targets": (
        tt.NotFiniteError,
        r"y of train= holds NaN, first at \[9\]",
        {"train": (X[:ROWS], numpy.where(LATE == 9, numpy.nan, Y[:ROWS]))},
    ),
    "infinity in targets to judge by": (
        tt.NotFiniteError,
        r"y of valid= holds an infinity.* first at \[0\]",
        {"valid": (X[:2], Y[:2] * numpy.inf)},
    ),
    "a label too large": (
        tt.LabelError,
        r"y of train= holds class 3 at \[41\].*classes 0 to 2",
        {"module": net(3), "train": labels_with(41, 3), "valid": 0.5},
    ),
    "a negative label": (tt.LabelError, r"class -1 at \[5\]", {"module": net(3), "train": labels_with(5, -1)}),
    "a label too large to judge by": (
        tt.LabelError,
        r"y of valid= holds class 9 at \[1\]",
        {"module": net(3), "train": TRAIN_LABELS, "valid": (X[:2], numpy.array([0, 9]))},
    ),
    "fractions for cross-entropy": (
        tt.LabelError,
        r"holds 1\.5 at \[2\]",
        {"module": net(3), "loss": "cross_entropy", "train": (X[:4], numpy.array([0, 1, 1.5, 2]))},
    ),
    "cross-entropy of one output": (
        tt.ShapeError,
        "one output per class",
        {"loss": "cross_entropy", "train": TRAIN_LABELS},
    ),
    "float labels without a loss": (tt.ShapeError, 'loss="cross_entropy"', {"module": net(3)}),
    "text as labels": (tt.DataError, "whole numbers 0, 1", {"train": (X[:4], list("abab"))}),
    "text in a frame": (
        tt.DataError,
        'a column "c"',
        {"train": (pandas.DataFrame({"b": Y[:4], "c": list("abab")}), Y[:4])},
    ),
    "nothing to train": (tt.ModuleError, "no parameters", {"module": nn.ReLU()}),
    "everything frozen": (
        tt.ModuleError,
        "all of its 2 parameters are frozen",
        {"module": nn.Linear(3, 1).requires_grad_(requires_grad=False)},
    ),
    "lazy layers": (tt.ModuleError, "lazy layers", {"module": nn.LazyLinear(1)}),
    "no network": (tt.ModuleError, "a torch.nn.Module", {"module": "net"}),
    "a class that is no module": (tt.ModuleError, "the class dict", {"module": dict}),
    "complex inputs": (tt.DataError, "complex", {"train": (X[:ROWS].astype(complex), Y[:ROWS])}),
    "sparse inputs": (tt.DataError, "sparse", {"train": (torch.eye(3).to_sparse(), Y[:3])}),
    "rows of other lengths": (tt.DataError, "different lengths", {"train": ([[1.0, 2.0], [3.0]], [1.0, 2.0])}),
    "a factory that raises": (
        tt.FactoryError,
        r"factory\(width=17\), raised ValueError: no such width: 17",
        {"module": raising, "width": 17},
    ),
    "a factory of other things": (tt.FactoryError, "gave a int", {"module": lambda: 3}),
    "a factory without its argument": (tt.FactoryError, "missing 1 required", {"module": lambda width: net()}),
    "an unknown knob": (tt.UnknownKnobError, 'Did you mean "batch_size"', {"batchsize": 3}),
    "an unknown loss": (tt.OptionError, 'Did you mean "mse"', {"loss": "msee"}),
    "an unknown optimizer": (tt.OptionError, 'Did you mean "adam"', {"optimizer": "adma"}),
    "an unknown schedule": (tt.OptionError, 'Did you mean "cosine"', {"schedule": "cosin"}),
    "an unknown metric": (tt.OptionError, 'Did you mean "rmse"', {"metric": "rmsee"}),
    "a metric of another task": (tt.OptionError, "accuracy", {"metric": "accuracy"}),
    "a loss that is NaN at once": (tt.LossError, "NaN or infinite", {"loss": lambda o, t: (o * torch.nan).mean()}),
    "a loss that gives no tensor": (tt.LossError, "returned a float", {"loss": lambda o, t: 3.0}),
    "a loss without the output": (tt.LossError, "does not depend", {"loss": lambda o, t: (t**2).mean()}),
    "a loss that raises": (tt.LossError, r"shapes \[\[10, 1\], \[10\]\]", {"loss": lambda o, t: o @ t @ o}),
    "a loss of other rows": (tt.LossError, r"shape \[3, 1\] for 10 rows", {"loss": lambda o, t: (o - t)[:3]}),
    "a loss that raises later": (
        tt.LossError,
        "out of bounds",
        {"valid": None, "module": net(3), "loss": nn.CrossEntropyLoss(), "train": labels_with(41, 7)},
    ),
    "a metric of other shapes": (
        tt.OptionError,
        "one by one",
        {
            "module": net(2),
            "metric": "rmse",
            "loss": lambda o, t: (o[:, :1] - t) ** 2,
            "train": (X[:ROWS], Y[:ROWS, None]),
            "valid": None,
        },
    ),
    "batch normalisation of one row": (
        tt.OptionError,
        "one row",
        {"module": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)), "batch_size": 1},
    ),
    "a rate of 0": (tt.OptionError, "learning rate", {"lr": 0}),
    "a rate in words": (tt.OptionError, "lr is .fast.", {"lr": "fast"}),
    "several rates": (tt.OptionError, r"lr is \[0.1, 0.2\]", {"lr": [0.1, 0.2]}),
    "no epochs": (tt.OptionError, "epochs is 0", {"epochs": 0}),
    "half an epoch": (tt.OptionError, r"epochs is 1\.5", {"epochs": 1.5}),
    "infinitely many epochs": (tt.OptionError, "epochs is inf", {"epochs": float("inf")}),
    "a negative batch": (tt.OptionError, "batch_size is -1", {"batch_size": -1}),
    "a patience of 0": (tt.OptionError, "patience is 0", {"stop": 0}),
    "a patience of True": (tt.OptionError, "stop is True", {"stop": True}),
    "a seed below 0": (tt.OptionError, "seed is -1", {"seed": -1}),
    "a seed beyond 63 bits": (tt.OptionError, "seed is", {"seed": 1 << 70}),
    "evaluating never": (tt.OptionError, "evaluate_every is 0", {"evaluate_every": 0}),
    "no such device": (tt.OptionError, 'no device "gpu"', {"device": "gpu"}),
    "a callback of another kind": (tt.OptionError, "callbacks holds an int", {"callbacks": [5]}),
    "the class of a listener": (tt.OptionError, "the class Listener", {"callbacks": Listener}),
    "a share of 1": (tt.DataError, r"valid= is 1\.0", {"valid": 1}),
    "a share of too few rows": (tt.DataError, "too few", {"train": (X[:1], Y[:1]), "valid": 0.5}),
    "no rows": (tt.DataError, "has no rows", {"train": (X[:0], Y[:0])}),
    "inputs alone": (tt.DataError, r"Give \(X, y\)", {"train": X}),
    "no targets": (tt.DataError, "NoneType", {"train": (X, None)}),
    "weights of other length": (tt.ShapeError, "60 real numbers", {"train": (*TRAIN, numpy.ones(3))}),
    "weights below 0": (tt.DataError, "at least 0", {"train": (*TRAIN, -numpy.ones(ROWS))}),
    "class weights of another number": (
        tt.OptionError,
        "2 numbers, and there are 3 classes",
        {"module": net(3), "train": TRAIN_LABELS, "valid": VALID_LABELS, "class_weights": (1, 2)},
    ),
    "class weights for numbers": (tt.OptionError, "class_weights belongs", {"class_weights": (1, 2)}),
    "class weights in words": (tt.OptionError, "class_weights is", {"class_weights": "balanced"}),
    "smoothing for numbers": (tt.OptionError, "label_smoothing belongs", {"label_smoothing": 0.1}),
    "delta without huber": (tt.OptionError, "delta is read by huber", {"delta": 2.0}),
    "momentum without any": (
        tt.OptionError,
        "momentum is read by",
        {"optimizer": "sgd", "momentum": 0.5},
    ),
    "groups that match nothing": (tt.OptionError, 'called like "biass"', {"groups": [tt.Group("biass", rate=0)]}),
    "groups of another kind": (tt.OptionError, "groups holds 5", {"groups": 5}),
    "a set for the factory": (tt.OptionError, r"hidden is \{4\}", {"module": lambda hidden: net(), "hidden": {4}}),
    "an optimizer that is made": (
        tt.OptionError,
        "made already",
        {"optimizer": torch.optim.SGD(net().parameters(), lr=1)},
    ),
    "a checkpoint that is no path": (tt.OptionError, "checkpoint is 5", {"checkpoint": 5}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_sentence(case):
    kind, words, options = REFUSED[case]
    with pytest.raises(kind, match=words) as caught:
        fit(**options)
    assert type(caught.value) is kind and isinstance(caught.value, tt.TrimtabError)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
