"""An argument without effect is an error that names it and says what would give it one: everywhere it may be given."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import trimtab as tt
from trimtab import cli
from trimtab.knobs.effects import refuse_unread
from trimtab.knobs.table import KNOBS
from trimtab.sweeps.table_sweep import sweep_table
from trimtab.training.config import Config, Optimizer, Schedule, Stopping

ROWS = 60
_generator = numpy.random.default_rng(0)
X = _generator.normal(size=(ROWS, 3)).astype(numpy.float32)
Y = (X @ numpy.array([1.0, 2.0, -1.0], numpy.float32)).astype(numpy.float32)
LABELS = (Y > 0).astype(numpy.int64)
NUMBERS = polars.DataFrame({"a": X[:, 0], "b": X[:, 1], "ab": X[:, 2], "y": Y})
CLASSES = NUMBERS.with_columns(y=polars.Series(LABELS).cast(polars.String).replace({"0": "no", "1": "yes"}))
PARTS = NUMBERS.with_columns(part=polars.Series(["train"] * 40 + ["valid"] * 10 + ["test"] * 10))
SPACE = {"lr": [1e-3, 1e-2]}


def net(outputs: int = 1) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, outputs))


def net_of_numbers() -> nn.Module:
    return net()


def table(frame: polars.DataFrame = NUMBERS, **options: Any) -> Any:
    return tt.tune(frame, "y", budget="5s", **options)


def networks(**options: Any) -> Any:
    return tt.tune(net_of_numbers, **{"data": (X, Y), "space": SPACE, "trials": 1, "budget": "5s", **options})


def once(**options: Any) -> Any:
    return tt.fit(net(), (X, Y), **{"epochs": 1, **options})


def swept(**options: Any) -> Any:
    return tt.sweep(net(), (X, Y), **{"epochs": 1, "lr": [1e-3, 1e-2], **options})


def table_sweep(knob: str = "lr", frame: polars.DataFrame = NUMBERS, **options: Any) -> Any:
    return sweep_table(frame, "y", knob, **options)


REGRESSION_KNOBS: list[tuple[dict[str, Any], str]] = [
    ({"loss": "mse", "delta": 0.5}, "delta"), ({"loss": "mae", "delta": 0.5}, "delta"),
    ({"loss": "huber", "tau": 0.5}, "tau"), ({"tau": 0.5}, "tau"), ({"gamma": 2.0}, "gamma"),
    ({"label_smoothing": 0.1}, "label_smoothing"), ({"loss": "mse", "label_smoothing": 0.1}, "label_smoothing"),
    ({"optimizer": "gd", "batch_size": 32}, "batch_size"),
]  # fmt: skip
TABLE_KNOBS: list[tuple[dict[str, Any], str]] = [
    ({"inputs": "scaled", "sigma": 0.1}, "sigma"), ({"depth": 0, "width": 32}, "width"),
    ({"depth": 0, "activation": "relu"}, "activation"), ({"depth": 0, "dropout": 0.2}, "dropout"),
    ({"depth": 0, "inputs": "periodic"}, "inputs"), ({"depth": 0, "sigma": 0.2}, "sigma"),
]  # fmt: skip
NETWORK_KNOBS: list[tuple[dict[str, Any], str]] = [
    ({"optimizer": "sgd", "momentum": 0.9}, "momentum"), ({"optimizer": "rmsprop", "momentum": 0.9}, "momentum"),
    ({"optimizer": "sgd", "second_decay": 0.9}, "second_decay"), ({"optimizer": "lion", "epsilon": 1e-6}, "epsilon"),
    ({"optimizer": "adagrad", "second_decay": 0.9}, "second_decay"), ({"decay_course": "linear"}, "decay_course"),
    ({"dropout_course": "linear"}, "dropout_course"), ({"class_weights": [1.0, 2.0]}, "class_weights"),
    ({"groups": [tt.Group("*.bias", decay=0.0)]}, "group"),
]  # fmt: skip
CALLS: dict[str, tuple[Callable[..., Any], list[tuple[dict[str, Any], str]]]] = {
    "tune of a table": (table, REGRESSION_KNOBS + TABLE_KNOBS),
    "tune of networks": (networks, REGRESSION_KNOBS + NETWORK_KNOBS),
    "fit": (once, REGRESSION_KNOBS + NETWORK_KNOBS),
    "sweep": (swept, REGRESSION_KNOBS + NETWORK_KNOBS),
    "sweep of a table": (table_sweep, [*REGRESSION_KNOBS, *TABLE_KNOBS, ({"delta": 0.5}, "delta")]),
    "estimator": (
        lambda **knobs: tt.TrimtabRegressor(budget="5s", **knobs).fit(X, Y), REGRESSION_KNOBS + TABLE_KNOBS,
    ),
    "tune of classes": (
        lambda **knobs: table(CLASSES, **knobs),
        [({"delta": 0.5}, "delta"), ({"tau": 0.5}, "tau"), ({"loss": "cross_entropy", "gamma": 1.0}, "gamma")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "knobs", "name"),
    [pytest.param(call, knobs, name, id=f"{what}: {knobs}") for what, (call, cases) in CALLS.items()
     for knobs, name in cases],
)  # fmt: skip
def test_a_knob_that_no_run_reads_is_refused_by_name(
    call: Callable[..., Any], knobs: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tt.OptionError, match=name):
        call(**knobs)
    assert list(tmp_path.iterdir()) == []


OPTIONS: dict[str, tuple[Callable[..., Any], dict[str, Any], str]] = {
    "a share to judge a table by": (table, {"valid": 0.3}, "valid="),
    "a space of a table": (table, {"space": SPACE}, "space="),
    "two tables": (table, {"data": NUMBERS}, "two tables"),
    "a share beside parts": (lambda **o: tt.tune(PARTS, "y", split="part", **o), {"test": 0.2}, "test="),
    "a share beside three frames": (
        lambda **o: tt.tune((NUMBERS, NUMBERS, NUMBERS), "y", **o), {"test": 0.2}, "test="),
    "a split of three frames": (
        lambda **o: tt.tune((NUMBERS, NUMBERS, NUMBERS), "y", **o), {"split": "group:a"}, "split="),
    "a test share of networks": (networks, {"test": 0.2}, r"test= of networks .* is \(X, y\)"),
    "the precision of networks": (networks, {"precision": "auto"}, "precision="),
    "a target of networks": (networks, {"target": "y"}, "target="),
    "a task of networks": (networks, {"task": "regression"}, "task="),
    "a split of networks": (networks, {"split": "time:a"}, "split="),
    "an ensemble of networks": (networks, {"single": True}, "single="),
    "a refit of networks": (networks, {"refit": True}, "refit="),
    "a column of networks": (networks, {"drop": "a"}, "drop="),
    "a weight of networks": (networks, {"weight": "a"}, "weight="),
    "a weight that is no name": (table, {"weight": 3}, "weight= is 3"),
    "a split that is no name": (table, {"split": 3}, "split= is 3"),
    "a target that is no name": (lambda **o: tt.tune(NUMBERS, 3, **o), {}, "target= is 3"),
    "a loss that is held still in a space of its parameter": (
        networks, {"space": {"delta": (0.1, 1.0)}, "loss": "mse"}, "delta= has no effect"),
    "a parameter that is swept under another loss": (
        lambda **o: tt.sweep(net(), (X, Y), **o), {"delta": [0.1, 0.2], "loss": "mse"}, "delta= has no effect"),
    "a knob of a table that is swept under another": (
        lambda **o: table_sweep("delta", **o), {"loss": "mse"}, "delta= has no effect"),
    "a direction without a metric": (tt.Recorder, {"greater_is_better": True}, "greater_is_better"),
    "a constant schedule": (once, {"schedule": tt.Schedule("constant", factor=0.5)}, "factor=0.5"),
    "a cosine schedule": (networks, {"schedule": tt.Schedule("cosine", warmup=0.3)}, "warmup"),
    "a step schedule": (swept, {"schedule": tt.Schedule("step", patience=3)}, "patience"),
    "stopping by patience": (once, {"stop": tt.EarlyStopping(threshold=2.0)}, "threshold"),
    "stopping by generalisation loss": (networks, {"stop": tt.EarlyStopping(rule="gl", patience=3)}, "patience"),
}  # fmt: skip


@pytest.mark.parametrize("what", OPTIONS)
def test_an_option_without_effect_is_refused_by_name(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, options, words = OPTIONS[what]
    with pytest.raises(tt.OptionError, match=words):
        call(**options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "knobs",
    [
        {"loss": ["mse", "huber"], "delta": 0.5}, {"optimizer": ["gd", "adam"], "batch_size": 8},
        {"lr": [0.1, 0.2], "optimizer": "gd", "batch_size": 0}, {"lr": [0.1, 0.2], "label_smoothing": 0.0},
        {"weight_decay": [0.0, 0.1], "decay_course": "linear", "groups": [tt.Group("*.bias", decay=0.0)]},
    ],
)  # fmt: skip
def test_a_knob_that_some_run_reads_is_taken(knobs: dict[str, Any]) -> None:
    assert len(tt.sweep(net(), (X, Y), seeds=1, epochs=1, metric="rmse", **knobs).table) == 2


def test_what_one_knob_needs_may_be_tried_by_another() -> None:
    for knob, reader in [(name, reader) for name, about in KNOBS.items() for reader in about.readers]:
        some = reader.by[0] if reader.by else "anything else"
        refuse_unread([knob], {reader.part: ("nothing of the kind", some)})
        refuse_unread([knob], {reader.part: ("custom",)})
        refuse_unread([knob], {})
        with pytest.raises(tt.OptionError, match=f"^{knob}= has no effect: .* choose another {reader.part}"):
            refuse_unread([knob], {reader.part: reader.but or ("nothing of the kind",)})


def test_every_setting_of_a_rule_belongs_to_some_rule() -> None:
    """A setting that the table forgets would be refused everywhere."""
    for knob, owner in (("schedule", Schedule), ("stop", Stopping)):
        settings = set(inspect.signature(owner).parameters) - {"name"}
        assert {setting for option in KNOBS[knob].options for setting in option.reads} == settings


def test_smoothed_labels_held_still_count_for_focal_loss_too() -> None:
    from trimtab.tuning.space import MIDDLE, space_for

    fixed = {"loss": "focal", "label_smoothing": 0.1}
    space = space_for("classification", "log_loss", rows=100, columns=3, fixed=fixed)
    assert space.config({**MIDDLE, "batch_size": 32, "epochs": 5}).loss.label_smoothing == 0.1
    searched = space_for("classification", "log_loss", rows=100, columns=3, fixed={"loss": "focal"})
    values = {**MIDDLE, "batch_size": 32, "epochs": 5, "label_smoothing": 0.1}
    assert searched.config(values).loss.label_smoothing == 0


# -- names of columns


def roles(**options: Any) -> dict[str, str]:
    from trimtab.tune import look

    schema = look(data=NUMBERS, target="y", **options).schema
    return {column.name: column.role for column in schema.columns}


def test_a_text_is_the_name_of_a_column_or_several_with_commas() -> None:
    for given in ("ab", ["ab"], ("ab",), {"ab"}):
        assert [name for name, role in roles(drop=given).items() if role == "dropped"] == ["ab"]
    for given in ("a,b", "a, b", ["a", "b"], ["a,b"]):
        assert [name for name, role in roles(drop=given).items() if role == "dropped"] == ["a", "b"]
    assert roles(category="ab")["ab"] == "category"
    assert roles(number="ab")["ab"] == "number"
    assert "dropped" not in roles(drop=None).values()


@pytest.mark.parametrize("option", ["drop", "number", "category"])
@pytest.mark.parametrize("given", [0, [0], [None], 1.5])
def test_what_is_no_name_of_a_column_is_refused(option: str, given: Any) -> None:
    with pytest.raises(tt.OptionError, match=f"{option}= is .*names of columns"):
        roles(**{option: given})


# -- data in three parts


class Triples(Dataset):
    def __init__(self, *columns: Any) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, place: int) -> tuple:
        return tuple(column[place] for column in self.columns)


def test_a_dataset_in_three_parts_brings_weights_as_a_tuple_does() -> None:
    weights = numpy.where(numpy.arange(ROWS) < 30, 0.0, 2.0).astype(numpy.float32)
    tensors = [torch.from_numpy(array) for array in (X, Y[:, None], weights)]
    module = net()
    options: dict[str, Any] = {"valid": (X, Y[:, None]), "epochs": 2, "batch_size": 16}
    expected = tt.fit(module, (X, Y[:, None], weights), **options).curves["train_loss"].to_list()
    without = tt.fit(module, (X, Y[:, None]), **options).curves["train_loss"].to_list()
    assert expected != pytest.approx(without)
    for given in (TensorDataset(*tensors), Triples(*tensors), DataLoader(Triples(*tensors), 16, shuffle=True)):
        assert tt.fit(module, given, **options).curves["train_loss"].to_list() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ((Y, X, X), "several inputs stand|Several inputs stand"),
        ((X, Y, -abs(Y)), "at least 0"),
        ((X, Y, 0 * Y), "all 0"),
        ((X, X, X, Y), "4 parts"),
    ],
)
def test_parts_that_are_no_weights_are_refused(columns: tuple, words: str) -> None:
    for given in (Triples(*columns), TensorDataset(*map(torch.from_numpy, columns))):
        with pytest.raises(tt.DataError, match=words):
            tt.fit(net(), given, epochs=1)


# -- the command line


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command complains of, run beside houses.csv; nothing may be written."""
    monkeypatch.chdir(tmp_path)
    NUMBERS.write_csv("houses.csv")
    PARTS.write_csv("parts.csv")

    def complaint(*arguments: str) -> str:
        assert cli.main(list(arguments)) == 2
        assert sorted(file.name for file in tmp_path.iterdir()) == ["houses.csv", "parts.csv"]
        return capsys.readouterr().err

    return complaint


FIT = ("fit", "houses.csv", "--target", "y", "--budget", "5s")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["fit", "dry run"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*FIT, "--metric", "foo"), 'metric "foo"'),
        ((*FIT, "--loss", "mse", "--delta", "0.5"), "--delta has no effect"),
        ((*FIT, "--loss", "foo"), "foo"),
        ((*FIT, "--lr", "0"), "--lr"),
        ((*FIT, "--width", "32", "--depth", "0"), "--width has no effect"),
        ((*FIT, "--device", "tpu"), "tpu"),
        ((*FIT[:4], "--budget", "soon"), "soon"),
        ((*FIT, "--trials", "0"), "trials"),
        ((*FIT, "--threads", "0"), "threads"),
        ((*FIT, "--seed", "-1"), "seed"),
        ((*FIT, "--precision", "low"), "precision"),
        ((*FIT, "--resume", "nowhere"), "nowhere"),
        (("fit", "parts.csv", "--target", "y", "--split", "part", "--test", "0.3"), "--test 0.3 has no effect"),
    ],
)
def test_the_command_line_refuses_what_has_no_effect_in_a_dry_run_too(
    said: Callable[..., str], arguments: tuple[str, ...], words: str, dry: tuple[str, ...]
) -> None:
    assert words in said(*arguments, *dry)


@pytest.mark.parametrize("held", ["delta=0.5", "tau=0.3", "sigma=0"])
def test_a_sweep_refuses_a_knob_held_still_without_effect(said: Callable[..., str], held: str) -> None:
    knob = held.partition("=")[0]
    assert f"--{knob}" in said("sweep", "houses.csv", "--target", "y", "--knob", "lr", "--fix", held)


# -- studies that go on


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    NUMBERS.write_csv(folder / "houses.csv")
    options: dict[str, Any] = {"trials": 1, "epochs": 2, "width": 32, "depth": 1, "seed": 3, "test": "none"}
    tt.tune(folder / "houses.csv", "y", out=folder / "earlier", **options)
    return folder / "earlier"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 0}, "seed= 0 differs"), ({"split": "random", "task": "classification"}, "task= classification"),
        ({"test": 0.2}, "test= 0.2 differs"), ({"out": "elsewhere"}, "out= is for a new study"),
        ({"drop": "a"}, "drop="),
        ({"metric": "mae"}, "metric= mae"), ({"valid": 0.2}, "valid="), ({"delta": 0.5, "loss": "mse"}, "delta="),
    ],
)  # fmt: skip
def test_a_study_that_goes_on_refuses_what_it_would_not_follow(
    earlier: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(tt.TrimtabError, match=words):
        tt.tune(resume=earlier, trials=2, **options)


def test_a_function_of_networks_has_no_effect_on_the_study_of_a_table(earlier: Path) -> None:
    with pytest.raises(tt.OptionError, match="study of a table"):
        tt.load(earlier, net)
    assert tt.load(earlier).model.networks


def test_configs_of_every_rule_are_read_back() -> None:
    for schedule in (Schedule("step", factor=0.2, every=0.5), Schedule("plateau", patience=2), Schedule("one_cycle")):
        config = Config(schedule=schedule, optimizer=Optimizer("sgd"))
        assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config
