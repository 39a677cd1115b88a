"""Mistakes that users make with networks of their own: each is said in one or two sentences, none as a traceback."""

import numpy
import pandas
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import trimtab as tt

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)


class Cut(nn.Module):
    """Gives outputs without gradients, in some way."""

    def __init__(self, how):
        super().__init__()
        self.layer, self.how = nn.Linear(3, 1), how

    def forward(self, x):
        if self.how == "no_grad":
            with torch.no_grad():
                return self.layer(x)
        output = self.layer(x)
        if self.how == "numpy":
            return torch.from_numpy(output.detach().numpy())
        return {"a": output.detach(), "b": output.data} if self.how == "several" else output.detach()


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, a, b):
        return self.layer(a + b)


class Gives(nn.Linear):
    """Gives something beside its output."""

    def __init__(self, more):
        super().__init__(3, 1)
        self.more = more

    def forward(self, x):
        return super().forward(x), self.more


class InTraining(nn.Linear):
    def forward(self, x):
        if self.training:
            raise KeyError("temperature")
        return super().forward(x)


class Alone(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, row):
        return X[row]


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return {"a": self.layer(x), "b": x}


class Raising(Alone):
    def __getitem__(self, row):
        return X[row], {"y": Y[row]}["y" if row < 3 else "x"]


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))

    def forward(self, x):
        return self.layer(x - self.mean)


def net(outputs=1):
    return nn.Linear(3, outputs)


NO_GRADIENT = "has a gradient by its parameters.*detach"
CASES = {
    "detach": (lambda: Cut("detach"), {}, NO_GRADIENT),
    "no_grad": (lambda: Cut("no_grad"), {}, NO_GRADIENT),
    "a way through numpy": (lambda: Cut("numpy"), {}, NO_GRADIENT),
    "several outputs without gradients": (
        lambda: Cut("several"),
        {"loss": lambda o, t: (o["a"] - t) ** 2 + o["b"]},
        NO_GRADIENT,
    ),
    "an input too many": (Two, {"train": ({"a": X, "b": X, "c": X}, Y)}, 'takes a and b: X has "c"'),
    "an input too few": (Two, {"train": ({"a": X}, Y)}, 'takes a and b: X lacks "b"'),
    "an input of another name": (Two, {"train": ({"a": X, "B": X}, Y)}, 'X has "B".*lacks "b".*Did you mean "b"'),
    "an output and None": (lambda: Gives(None), {}, "returned a tuple that holds a NoneType"),
    "an output and words": (lambda: Gives("loss"), {}, "returned a tuple that holds a str"),
    "an error in training alone": (lambda: InTraining(3, 1), {}, "InTraining failed with KeyError: 'temperature'"),
    "a scripted module": (lambda: torch.jit.script(net()), {}, "is scripted"),
    "a module over devices": (lambda: nn.DataParallel(net()), {}, "its .module"),
    "a module without numbers": (lambda: nn.Linear(3, 1, device="meta"), {}, "device meta"),
    "the class of a loss": (net, {"loss": nn.MSELoss}, r"the class MSELoss: give what it makes, MSELoss\(\)"),
    "a loss of one argument": (net, {"loss": lambda o: o.mean()}, "The loss function raised TypeError"),
    "a loss and its parts": (net, {"loss": lambda o, t: ((o - t).mean(), 1)}, "returned a tuple"),
    "a loss as a number": (net, {"loss": lambda o, t: float((o - t).mean())}, "returned a float"),
    "a loss of another shape": (net, {"loss": lambda o, t: o @ t.T @ o.new_zeros(5, 5)}, "The loss function raised"),
    "a metric of classes for numbers": (net, {"metric": "accuracy"}, '"accuracy" is for classification'),
    "a metric of numbers for classes": (
        lambda: net(2),
        {"metric": "rmse", "train": (X, (Y[:, 0] > 0).long())},
        '"rmse" is for regression',
    ),
    "a metric for several outputs": (
        Several,
        {"metric": "rmse", "loss": lambda o, t: (o["a"] - t) ** 2},
        "reads one number per row and output; the network returns more",
    ),
    "labels in words": (lambda: net(2), {"train": (X, ["a", "b"] * 20)}, "whole numbers 0, 1"),
    "a table": (net, {"train": pandas.DataFrame(X.numpy())}, "train= is a DataFrame"),
    "a file": (net, {"train": "houses.csv"}, "train= is a str"),
    "a single input": (net, {"train": (X,)}, "train= is a tuple of 1 thing"),
    "a Dataset that raises": (net, {"train": Raising()}, "Item 3 of the Dataset of train= raised KeyError: 'x'"),
    "buffers of another precision": (Shifted, {}, "Its own tensors are float32 and float64, and are used"),
    "a Dataset of inputs alone": (net, {"train": Alone()}, "must be .inputs, target."),
    "a share in words": (net, {"valid": "0.2"}, "valid= is a str"),
    "a share that is True": (net, {"valid": True}, "valid= is a bool"),
    "epochs in words": (net, {"epochs": "5"}, "epochs is '5'"),
    "a batch in words": (net, {"batch_size": "auto"}, "batch_size is 'auto'"),
    "stopping in words": (net, {"stop": "early"}, "stop is 'early'"),
    "a schedule of torch": (net, {"schedule": torch.optim.lr_scheduler.StepLR}, "give a name"),
    "groups as a dict": (net, {"groups": {"0.weight": 0.1}}, "groups holds"),
    "outputs and targets of other numbers": (lambda: net(2), {}, "as many outputs as there are targets"),
    "one-hot rows of another number": (
        lambda: net(3),
        {"train": (X, torch.eye(2)[(Y[:, 0] > 0).long()]), "loss": "cross_entropy"},
        r"rows of shape \[2\]",
    ),
}


def called(call, module, options, folder):
    if call == "fit":
        tt.fit(module, **options)
    elif call == "sweep":
        tt.sweep(module, **options, lr=[0.1, 0.2], seeds=1)
    else:
        tt.tune(module, **options, space={"lr": [0.1]}, trials=1, budget="60s", out=folder / "study")


@pytest.mark.parametrize("call", ["fit", "sweep", "tune"])
@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_said_in_a_sentence(case, call, tmp_path):
    make, options, words = CASES[case]
    with pytest.raises(tt.TrimtabError, match=words) as caught:
        called(call, make(), {"train": (X, Y), "epochs": 1, **options}, tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


class Keeps:
    def epoch_ended(self, run, values):
        pass


class Progress:
    def progress(self, progress):
        pass


def test_listeners_that_belong_elsewhere_are_refused_and_those_that_hear_are_not(tmp_path):
    how = {"space": {"lr": [0.1]}, "trials": 1, "budget": "60s", "epochs": 1}
    logger = tt.TensorBoardLogger(tmp_path / "logs")
    for listeners, words in (
        ([logger], "holds a TensorBoardLogger, which is told of epochs: give it as callbacks="),
        (logger, "give it as callbacks="),
        (Keeps(), "holds a Keeps, which is told of epochs"),
        ([Progress], "holds the class Progress"),
        ([5], "holds an int: give objects with a method started, notice, schema, baseline or progress"),
    ):
        with pytest.raises(tt.OptionError, match=words):
            tt.tune(net(), (X, Y), listeners=listeners, out=tmp_path / "never", **how)
        with pytest.raises(tt.OptionError, match=words):
            tt.tune("no.csv", "y", listeners=listeners)
    assert not (tmp_path / "never").exists()
    for i, listeners in enumerate((Progress(), [Progress()], ())):
        tt.tune(net(), (X, Y), listeners=listeners, out=tmp_path / str(i), **how)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "study"
    return tt.tune(lambda width: nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1)), (X, Y),
                   space={"width": [4], "lr": [0.1]}, trials=1, epochs=1, budget="60s", out=folder)  # fmt: skip


OTHERS = {
    "another layer": lambda width: nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1)),
    "another depth": lambda width: nn.Sequential(nn.Linear(3, width), nn.Linear(width, width), nn.Linear(width, 1)),
    "other numbers": lambda width: nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 1)),
    "other names": lambda width: nn.ModuleDict({"a": nn.Linear(3, width), "b": nn.Linear(width, 1)}),
    "another type": lambda width: nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1)).double(),
    "a module": nn.Linear(3, 1),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_study_loaded_with_another_factory_says_what_differs(case, study):
    with pytest.raises(tt.StudyError, match=r"makes another network than .* was .* and is .*width=4.*Give the"):
        _ = tt.load(study.out, OTHERS[case]).module


def test_a_study_loaded_with_what_cannot_make_its_networks(study):
    for factory, kind, words in (
        (lambda: nn.Linear(3, 1), tt.FactoryError, "unexpected keyword argument 'width'"),
        (5, tt.ModuleError, "give a torch.nn.Module"),
        (None, tt.StudyError, r"tt\.load\(path, factory\)"),
    ):
        with pytest.raises(kind, match=words):
            _ = tt.load(study.out, factory).module
    with pytest.raises(tt.StudyError, match="study.module"):
        _ = study.model
    same = tt.load(study.out, lambda width: nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1)))
    numpy.testing.assert_array_equal(same.module(X).detach(), study.module(X).detach())
