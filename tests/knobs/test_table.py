"""What the table of knobs says arrives wherever a knob is offered, checked, searched or told of, and is true there."""

import ast
import inspect
import re
from dataclasses import replace
from pathlib import Path

import numpy
import polars
import pytest
from torch import nn

import trimtab as tt
from trimtab.cli.knob_options import takes_knobs
from trimtab.errors import OptionError
from trimtab.knobs.domains import Bounds, Range
from trimtab.knobs.effects import is_read, needed_for, read_in_tables_of
from trimtab.knobs.knob import Reader
from trimtab.knobs.table import (
    KNOBS,
    LOSSES,
    NETWORK_KNOBS,
    OPTIMIZERS,
    REGRESSION_LOSSES,
    SCHEDULES,
    TABLE_KNOBS,
)
from trimtab.networks.recipe import recipe
from trimtab.sweeps.table_sweep import sweep_table
from trimtab.text.wording import listed
from trimtab.training.config import Config, Loss, Optimizer
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.rules.optimizers import terms_of
from trimtab.tuning.space import check_fixed, knobs_of, space_for
from trimtab.tuning.words import config_in_words

PACKAGE = Path(tt.__file__).parent
DOCS = PACKAGE.parent.parent / "docs"


# -- one change, seen everywhere


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another loss that reads delta, which means something else, and may be and is tried as something else."""
    loss, delta = KNOBS["loss"], KNOBS["delta"]
    words = tuple(
        replace(option, words="log-cosh loss with bend {}") if option.name == "log_cosh" else option
        for option in loss.options
    )
    monkeypatch.setitem(KNOBS, "loss", replace(loss, options=words))
    monkeypatch.setitem(KNOBS, "delta", replace(
        delta, meaning="where the loss bends", prior=Range(0.25, 0.5), readers=(Reader("loss", by=("log_cosh",)),),
        bounds=Bounds(0.125, 0.75), default=0.625, title="the bend",
    ))  # fmt: skip


@pytest.mark.usefixtures("changed")
def test_a_change_in_the_table_arrives_everywhere() -> None:
    assert KNOBS["delta"].range_text == "tried: 0.25 to 0.5"
    command = takes_knobs(before="out")(lambda out="", **knobs: None)
    option = inspect.signature(command).parameters["delta"].annotation.__metadata__[0]
    assert option.help == "where the loss bends (tried: 0.25 to 0.5)"

    space = space_for("regression", "rmse", rows=100, columns=3, fixed={})
    assert space.domains["delta"] == Range(0.25, 0.5)
    held = space_for("regression", "rmse", rows=100, columns=3, fixed={"loss": "log_cosh"})
    values = held.draw(numpy.random.default_rng(0))
    config = held.config(values)
    assert config.loss.parameter == values["delta"] == knobs_of(config)["delta"]
    assert "log-cosh loss with bend 0." in config_in_words(config)

    assert recipe({"loss": "log_cosh", "delta": 0.375}).config.loss.parameter == 0.375
    with pytest.raises(OptionError, match="the bend is 0.1: .* at least 0.125 and at most 0.75"):
        Loss("log_cosh", 0.1)
    with pytest.raises(OptionError, match="^delta= is 0.1: .* at least 0.125 and at most 0.75"):
        check_fixed({"delta": 0.1}, "regression")
    assert needed_for("delta") == {"loss": "log_cosh"}
    x, knobs = numpy.arange(40.0), {"loss": "huber", "delta": 0.5}
    for call in (
        lambda: tt.fit(nn.Linear(1, 1), (x[:, None], x), **knobs),
        lambda: sweep_table(polars.DataFrame({"a": x, "y": x**2}), "y", "lr", **knobs),
        lambda: tt.TrimtabRegressor(**knobs).fit(x[:, None], x**2),
    ):
        with pytest.raises(OptionError, match="delta= has no effect: delta is read by log_cosh"):
            call()


# -- the table is true of what trains


@pytest.mark.parametrize("knob", ["momentum", "second_decay", "epsilon"])
def test_an_optimizer_reads_what_the_table_says(knob: str) -> None:
    for name in OPTIMIZERS:
        usual, other = terms_of(Optimizer(name)), terms_of(replace(Optimizer(name), **{knob: 0.5}))
        if usual.sums_squares:  # a sum has no decay: that there is one says only that there is a second mean
            usual, other = (replace(terms, second_decay=0.0) for terms in (usual, other))
        assert (usual != other) == is_read(knob, {"optimizer": name}), name


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_reads_what_the_table_says(loss: str) -> None:
    parameters = [knob for knob in ("delta", "tau", "gamma") if is_read(knob, {"loss": loss})]
    stacked = [
        {name: value.tolist() for name, value in LossCoefficients.stack([Loss(loss, parameter)], 3).tensors().items()}
        for parameter in (0.25, 0.75)
    ]
    assert (stacked[0] != stacked[1]) == (len(parameters) == 1)
    assert is_read("label_smoothing", {"loss": loss}) == (loss not in REGRESSION_LOSSES)


def test_every_knob_has_a_place_in_a_config() -> None:
    config = Config(network=(("width", 1), ("depth", 1), ("activation", "relu"), ("inputs", "scaled")),
                    initial=(("sigma", 0.1),))  # fmt: skip
    for knob in KNOBS.values():
        part, _, field = knob.place.rpartition(".")
        if part == "network":
            assert field in config.module_arguments
        else:
            assert hasattr(getattr(config, part) if part else config, field), knob.name
    assert {*TABLE_KNOBS, *NETWORK_KNOBS} == set(KNOBS)


def test_what_is_tried_of_a_knob_is_what_it_may_be() -> None:
    for task, metric in (("regression", "mae"), ("classification", "log_loss")):
        for rows, columns in ((100, 3), (100_000, 300)):
            space = space_for(task, metric, rows=rows, columns=columns, fixed={})  # type: ignore[arg-type]
            for name, domain in space.domains.items():
                ends = (domain.low, domain.high) if isinstance(domain, Range) else domain.values
                for value in ends:
                    check_fixed({name: value}, task)  # type: ignore[arg-type]
    assert KNOBS["batch_size"].prior_words.split("from ")[1] == "32 to 512"


# -- whoever offers knobs offers all of them


def test_estimators_offer_the_knobs_of_tables_and_say_which_are_whose() -> None:
    others = {
        "budget",
        "trials",
        "metric",
        "cv",
        "single",
        "neighbours",
        "device",
        "threads",
        "workers",
        "random_state",
    }
    known: set[str] = set()
    for estimator, task in ((tt.TrimtabRegressor, "regression"), (tt.TrimtabClassifier, "classification")):
        assert set(estimator().get_params()) == {*TABLE_KNOBS, *others}
        told = set(re.findall(r"\w+", str(estimator.__doc__)))
        assert set(read_in_tables_of(task)) - known <= told  # type: ignore[arg-type]
        known |= told


def test_fit_names_all_that_may_be_set() -> None:
    """In its signature, or in the words of its documentation."""
    told = {*inspect.signature(tt.fit).parameters, *re.findall(r"\w+", str(tt.fit.__doc__))}
    assert {*NETWORK_KNOBS, *LOSSES, *OPTIMIZERS, *SCHEDULES} <= told
    page = set(re.findall(r"\w+", (DOCS / "tune-your-module.md").read_text(encoding="utf-8")))
    assert {*NETWORK_KNOBS, *LOSSES, *OPTIMIZERS, *SCHEDULES} <= page


def rows_of_the_page(names: tuple[str, ...]) -> str:
    """The rows of a table of these knobs, as docs/knobs.md has them."""
    lines = []
    for knob in map(KNOBS.__getitem__, names):
        beside = listed(f"{each.part} {_read_by(each)}" for each in knob.readers) or "always"
        lines.append(f"| `{knob.name}` | {knob.meaning} | {knob.range_text or '-'} | {beside} |")
    return "\n".join(lines)


def _read_by(reader: Reader) -> str:
    return listed(reader.by, "or") if reader.by else f"other than {listed(reader.but, 'or')}"


@pytest.mark.parametrize("names", [TABLE_KNOBS, tuple(n for n in NETWORK_KNOBS if n not in TABLE_KNOBS)], ids=len)
def test_the_page_of_knobs_is_the_table(names: tuple[str, ...]) -> None:
    """Where it is not, the rows that the page ought to have are what this shows."""
    assert rows_of_the_page(names) in (DOCS / "knobs.md").read_text(encoding="utf-8")


# -- nobody else


IMPLEMENT = ("knobs", "training", "export")


def test_no_other_room_lists_the_names_of_a_knob() -> None:
    """Where a name is code (a rule, the text of a script, a node of a graph) it stands with that code; nowhere else."""
    families = [set(KNOBS[name].names) for name in ("loss", "optimizer", "schedule", "activation", "dropout_course")]
    for file in PACKAGE.rglob("*.py"):
        if file.relative_to(PACKAGE).parts[0] in IMPLEMENT:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
            names = {item.value for item in items if isinstance(item, ast.Constant)}
            assert all(len(names & family) < 3 for family in families), f"{file}:{getattr(node, 'lineno', 0)}"


@pytest.mark.parametrize("knob", ["loss", "optimizer", "schedule"])
def test_a_result_has_words_for_every_option(knob: str) -> None:
    assert all(option.words for option in KNOBS[knob].options)
