"""Each experiment: what its sentence says is what the engine's numbers are, and it ends when it is told to."""

import json
import re
from itertools import islice

import numpy
import pytest
import torch
from torch import nn

from trimtab.errors import OptionError
from trimtab.lab.controls import Menu, Slider, read
from trimtab.lab.experiment import Outcome
from trimtab.lab.experiments import EXPERIMENTS, duration, sampling
from trimtab.lab.experiments.duration import Duration, rows_of
from trimtab.lab.experiments.line import Line
from trimtab.lab.experiments.losses import NAMES, Losses, contributions, pulls_of
from trimtab.lab.experiments.network import LEARNT, Network, points
from trimtab.lab.experiments.surfaces import LEFT
from trimtab.lab.experiments.walks import ALIKE, Way
from trimtab.lab.live import chain
from trimtab.text.layout import number
from trimtab.training.config import Loss
from trimtab.training.randomness import row_order
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.rules.objective import FormulaLoss


@pytest.fixture(autouse=True)
def shorter(monkeypatch):
    """The same experiments on fewer epochs and networks."""
    for name, epochs in (("duration", 60), ("sampling", 60), ("network", 10)):
        monkeypatch.setattr(f"trimtab.lab.experiments.{name}.EPOCHS", epochs)
    monkeypatch.setattr("trimtab.lab.experiments.network.CONFIGS", 8)
    monkeypatch.setattr("trimtab.lab.experiments.optimizers.RATES", numpy.geomspace(1e-3, 1.0, 4))


def run(name, **given):
    experiment = EXPERIMENTS[name]
    values = read(experiment.controls, json.dumps(given))
    events = list(experiment.run(values, lambda: False))
    assert events[0]["kind"] == "begin" and isinstance(events[-1], Outcome)
    assert all(event["kind"] == "frame" for event in events[1:-1])
    json.dumps(events[:-1], allow_nan=False)
    return events[0], events[1:-1], events[-1]


def numbers_in(text):
    return [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_says_one_measured_sentence_and_has_weights_to_take_home(name):
    _, frames, outcome = run(name)
    choices = EXPERIMENTS[name].choices
    assert list(outcome.compared) == [choice.name for choice in choices] and bool(outcome.brief) == bool(choices)
    assert sum("you were right" in each for each in outcome.compared.values()) == bool(choices)
    assert frames and outcome.sentence.endswith(".") and "nan" not in outcome.sentence
    assert all(torch.isfinite(value).all() for value in outcome.weights.values()) and outcome.weights


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_ends_when_it_is_told_to(name):
    experiment, asked, seen = EXPERIMENTS[name], [], []

    def stop():
        asked.append(1)
        return len(asked) > 40

    seen.extend(islice(experiment.run(read(experiment.controls, "{}"), stop), 200))
    assert len(seen) < 60 and isinstance(seen[0], dict)


def test_no_name_of_a_control_is_explained_nowhere():
    for experiment in EXPERIMENTS.values():
        assert experiment.question and experiment.guess and len(experiment.words) >= 3
        names = [control.name for control in experiment.controls]
        assert len(set(names)) == len(names)
        for control in experiment.controls:
            assert isinstance(control, Slider | Menu) or control.hint


def test_a_network_of_my_own_points_is_the_one_that_its_code_trains():
    experiment, rows = EXPERIMENTS["network"], [(round(0.01 * i, 2), -0.5 if i % 2 else 0.5, i % 2) for i in range(60)]
    begin, _, _ = run("network", data="own", own=rows, depth=1, width=4)
    assert begin["x"] == [[a, b] for a, b, _ in rows] and begin["y"] == [label for *_, label in rows]
    assert begin["isOwn"] and begin["guess"] == pytest.approx(numpy.log(2), rel=1e-3)
    code = experiment.code(read(experiment.controls, json.dumps({"data": "own", "own": rows})))
    scope: dict = {}
    exec(code.partition("study =")[0], scope)  # noqa: S102 - our own
    assert scope["x"].shape == (60, 2) and scope["y"].tolist() == begin["y"]
    with pytest.raises(OptionError, match="no table yet"):
        run("network", data="own")


def test_the_line_is_trained_as_a_plain_loop_trains_it():
    begin, frames, outcome = run("line", rate=0.05, steps=30)
    x, y = (torch.tensor([point[i] for point in Line.controls[-1].usual]).unsqueeze(1) for i in (0, 1))
    neuron = nn.Linear(1, 1)
    nn.init.constant_(neuron.weight, begin["first"][0])
    nn.init.constant_(neuron.bias, begin["first"][1])
    optimizer = torch.optim.SGD(neuron.parameters(), lr=0.05)
    for frame in frames:
        optimizer.zero_grad()
        nn.functional.mse_loss(neuron(x), y).backward()
        optimizer.step()
        assert frame["at"][:2] == pytest.approx([neuron.weight.item(), neuron.bias.item()], abs=1e-4)
    assert numbers_in(outcome.sentence)[1:3] == pytest.approx(frames[-1]["at"][:2], abs=1e-3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate": 0.1}, "below half of it: no step goes past the valley"),
        ({"rate": 0.4}, "below it: each step goes past the valley, but less far"),
        ({"rate": 0.661}, "beyond it: before long each step goes further"),
        ({"rate": 1, "steps": 5}, "beyond it: before long each step goes further"),
        ({"rate": 1}, "beyond it: before long each step goes further"),
    ],
)
def test_the_rate_is_set_beside_the_limit_of_gradient_descent_whatever_the_steps(given, said):
    begin, frames, outcome = run("line", **given)
    assert f"up to a rate of {begin['edge']:.4f}" in outcome.sentence and said in outcome.sentence
    # By the weights themselves: the way from the valley, along the steepest direction.
    x = numpy.array([point[0] for point in Line.controls[-1].usual])
    columns = numpy.stack([x, numpy.ones_like(x)], axis=1)
    steepest = numpy.linalg.eigh(columns.T @ columns)[1][:, -1]
    away = [
        (numpy.array(at[:2]) - begin["exact"]) @ steepest for at in [begin["first"], *(f["at"] for f in frames[:5])]
    ]
    ratio = away[1] / away[0]
    assert ("no step goes past" in said) == (ratio > 0) and ("further" in said) == (abs(ratio) > 1)


def test_adam_is_not_set_beside_the_limit_of_another():
    assert "Gradient descent" not in run("line", optimizer="adam", rate=1)[2].sentence


def test_a_loss_that_was_large_at_first_has_not_diverged():
    _, _, outcome = run("line", points=[[0, 900], [0.1, 900]], steps=20)
    assert "beyond all bounds" not in outcome.sentence and "it began at 80" in outcome.sentence


def test_gradient_descent_holds_below_the_edge_and_diverges_beyond():
    edge = run("line")[0]["edge"]
    assert "beyond all bounds" in run("line", rate=1.3 * edge, steps=300)[2].sentence
    assert abs(run("line", rate=0.9 * edge, steps=300)[2].figures["loss"]) < 1


def test_the_lowest_validation_error_is_that_of_the_curves():
    _, frames, outcome = run("duration", rows=12)
    valid = numpy.array([frame["valid"] for frame in frames])
    epochs = numpy.array([frame["epoch"] for frame in frames])
    assert outcome.figures["lowest"] == pytest.approx(numpy.median(valid.min(0)), rel=1e-3)
    assert outcome.figures["best_epoch"] == numpy.median(epochs[valid.argmin(0)])
    x, y = rows_of(12, 0.4)
    assert len(x) == len(y) == 12


FIGURES = {"lowest": 0.49, "last": 0.61, "train_then": 0.32, "train_last": 0.08, "noise": 0.4, "spread": 0.7}


@pytest.mark.parametrize(
    ("rows", "noise", "figures", "said"),
    [
        # As the engine finds them after 600 epochs.
        (20, 0.4, {}, "24 % worse, while the training error went from 0.3200 to 0.08000: that is overfitting."),
        (8, 0.0, {"lowest": 0.444, "last": 0.445, "noise": 0}, "next to nothing here: there is no noise to learn"),
        (
            20,
            0.0,
            {"lowest": 0.028, "last": 0.034, "noise": 0},
            "Both are small beside the spread of y (its standard deviation), 0.7000",
        ),
        (200, 0.0, {"lowest": 0.0056, "last": 0.0058, "noise": 0}, "Both are small"),
        (200, 0.4, {"lowest": 0.4019, "last": 0.406, "train_last": 0.368}, "200 rows are too many"),
        # As they might be.
        (8, 0.02, {"lowest": 0.44, "last": 0.441, "noise": 0.02}, "the noise is small beside"),
        (8, 0.0, {"lowest": 0.44, "last": 0.5, "noise": 0}, "to few rows, for there is no noise to learn"),
        (20, 0.4, {"train_last": 0.4}, "the steps are too long"),
        (20, 0.4, {"lowest": 0.49, "last": 0.491}, "though the network has learnt most of the noise"),
    ],
)
def test_the_reason_is_that_of_noise_and_rows(rows, noise, figures, said):
    verdict = Duration.verdict({"rows": rows, "noise": noise}, {"best_epoch": 0, **FIGURES, **figures})
    assert said in verdict and verdict.endswith(".")


@pytest.mark.parametrize(("rows", "noise"), [(8, 0.0), (20, 1.0)])
def test_the_reason_rests_on_errors_of_the_curves(rows, noise):
    begin, frames, outcome = run("duration", rows=rows, noise=noise)
    train, valid = (numpy.array([frame[part] for frame in frames]) for part in ("train", "valid"))
    then = numpy.median(train[valid.argmin(0), range(32)])
    found = outcome.figures
    assert [found["train_then"], found["train_last"]] == pytest.approx([then, numpy.median(train[-1])], rel=1e-3)
    assert begin["noise"] == pytest.approx(found["noise"], rel=1e-3) and (found["noise"] > 0) == (noise > 0)
    assert Duration.verdict({"rows": rows, "noise": noise}, found) in outcome.sentence
    assert noise > 0 or "little noise" not in outcome.sentence


def test_what_was_not_sampled_is_not_known():
    _, _, part = run("sampling", low=-1, high=0)
    _, _, whole = run("sampling", low=-1, high=1)
    assert part.figures["everywhere"] > 2 * part.figures["validation"]
    assert whole.figures["everywhere"] < 2 * whole.figures["validation"]
    assert "times as much" in part.sentence and "much as promised" in whole.sentence


@pytest.mark.parametrize(("low", "high"), [(-1, 0), (-0.8, 0.8), (-1, 1), (0.8, -0.8)])
@pytest.mark.parametrize("split", ["shuffled", "time", "group"])
def test_what_is_said_of_the_sample_is_what_was_measured(low, high, split):
    begin, _, outcome = run("sampling", low=low, high=high, split=split)
    x, judges = numpy.array(begin["x"]), numpy.array(begin["judges"])
    assert judges.sum() == 30
    # As its control says: among the others, or beyond them all.
    others, judging = x[~judges], x[judges]
    assert (judging.min() > others.max()) == (split == "time") and (judging.max() < others.min()) == (split == "group")
    found, said = outcome.figures, outcome.sentence
    agree = 1 / sampling.ALIKE <= found["everywhere"] / found["validation"] <= sampling.ALIKE
    assert ("much as promised" in said) == agree
    assert ("The sampled part goes from -0.8 to 0.8." in said) == (low > high)
    if "like the population" in said:
        assert found["covered"] >= sampling.NEARLY_ALL and not found["outside"] > sampling.ALIKE * found["inside"]
    if "easier" in said or "harder" in said:
        assert ("easier" in said) == (found["validation"] < found["everywhere"])


@pytest.mark.parametrize(
    ("validation", "everywhere", "inside", "outside", "covered", "said"),
    [
        (0.7763, 0.7531, 0.4165, 1.461, 0.8, "but by luck: inside the sampled part 0.4165, outside 1.461"),
        (0.1546, 0.1931, 0.1617, 0.2858, 0.8, "but by luck"),
        (0.15, 0.15, 0.15, 0.15, 0.5, "but by luck"),
        (0.1577, 0.1596, 0.1596, numpy.nan, 1.0, "the sample is like the population."),
        (0.1566, 0.1605, 0.1585, 0.1882, 0.95, "the sample is like the population."),
        (0.1744, 0.1730, 0.1686, 0.2488, 0.95, "where only 5 % of the population lie"),
        (0.1494, 0.5273, 0.1564, 0.7291, 0.5, "outside 0.7291. No validation row came from there."),
        (0.1, 0.2, 0.2, numpy.nan, 1.0, "the validation rows are easier than the whole population."),
        (1.491, 0.795, 0.795, numpy.nan, 1.0, "less than promised: the validation rows are harder"),
    ],
)
def test_a_promise_that_is_kept_by_luck_is_not_called_a_good_sample(
    validation, everywhere, inside, outside, covered, said
):
    errors = {"validation": validation, "everywhere": everywhere, "inside": inside, "outside": outside}
    sentence = sampling.Sampling._sentence({"low": -1, "high": 1}, errors, covered)
    assert said in sentence and sentence.endswith(".") and "outside -" not in sentence


def test_what_each_row_adds_is_the_loss_that_is_trained():
    misses = numpy.linspace(-2, 2, 21)
    for name in NAMES:
        parameter = {"huber": 0.5, "quantile": 0.3}.get(name, 1.0)
        losses = LossCoefficients.stack([Loss(name, parameter)], 0, torch.device("cpu"), torch.float32)
        truth = torch.tensor(misses, dtype=torch.float32).view(1, -1, 1)
        trained, _ = FormulaLoss("regression")(torch.zeros_like(truth), truth, torch.ones(1, 21), losses)
        assert contributions(name, misses, parameter).mean() == pytest.approx(trained.item(), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_how_hard_a_row_pulls_is_the_slope_of_what_it_adds(name):
    misses, step = numpy.linspace(-3.03, 3.03, 20), 1e-6
    for parameter in (0.2, 0.8):
        added = [contributions(name, misses + sign * step, parameter) for sign in (1, -1)]
        slope = (added[0] - added[1]) / (2 * step)
        numpy.testing.assert_allclose(pulls_of(name, misses, parameter), numpy.abs(slope), rtol=1e-5)


def test_what_is_far_adds_more_to_hubers_loss_than_to_the_squared_one_and_pulls_less_at_it():
    _, frames, outcome = run("losses")
    far, last = outcome.figures["far"], frames[-2]
    shares = {
        measure: {name: sum(last[measure][NAMES.index(name)][row] for row in far) for name in NAMES}
        for measure in ("added", "pulled")
    }
    assert shares["added"]["huber"] > shares["added"]["mse"] > shares["added"]["mae"] > 0.5
    assert 0.5 > shares["pulled"]["mse"] > shares["pulled"]["huber"] > shares["pulled"]["mae"]
    assert shares["pulled"]["mae"] == pytest.approx(2 / 24, abs=1e-3)
    assert all(sum(each) == pytest.approx(1, abs=1e-3) for measure in shares for each in last[measure])


def test_the_two_points_that_are_wrong_pull_the_squared_loss_most():
    _, frames, outcome = run("losses")
    points, pulls = numpy.array(Losses.controls[-1].usual), outcome.figures["pulls"]
    assert pulls["mse"] > pulls["quantile"] > pulls["huber"] > pulls["mae"]
    assert "MSE is pulled most, MAE least." in outcome.sentence
    far = outcome.figures["far"]
    assert (points[far, 1] > 2).all() and frames[-1]["far"] == far and len(frames[-1]["without"]) == 4
    x, y = points.T
    kept = numpy.delete(numpy.arange(len(x)), far)
    moved = numpy.polyval(numpy.polyfit(x, y, 1), x[far]) - numpy.polyval(numpy.polyfit(x[kept], y[kept], 1), x[far])
    assert pulls["mse"] == pytest.approx(moved.mean(), rel=1e-2)
    assert f"MSE's by {number(pulls['mse'])}," in outcome.sentence


def test_lines_that_are_pulled_alike_are_said_to_be():
    _, _, outcome = run("losses", quantile=0.5, delta=3.0)
    assert "MSE and Huber are pulled most, MAE and Quantile least." in outcome.sentence
    _, _, outcome = run("losses", points=[[-1, -1], [0, 0], [1, 1], [0.5, 0.5], [-0.5, -0.5]])
    assert "all four alike." in outcome.sentence
    few = run("losses", points=[[-1, -1], [0, 0], [1, 2]])[2]
    assert "pull" not in few.sentence and not few.figures["pulls"]


@pytest.mark.parametrize("quantile", [0.05, 0.25, 0.95])
def test_the_quantile_line_is_the_best_one_and_the_points_below_it_are_counted(quantile):
    begin, frames, outcome = run("losses", quantile=quantile)
    x, y = numpy.array(Losses.controls[-1].usual).T

    def loss(slope, shift):
        return contributions("quantile", y - slope * x - shift, quantile).mean()

    # Some best line goes through two of the points [Koenker and Bassett 1978].
    i, j = numpy.triu_indices(len(x), 1)
    slopes = (y[j] - y[i]) / (x[j] - x[i])
    best = min(map(loss, slopes, y[i] - slopes * x[i]))
    ends, grid = frames[-2]["lines"][NAMES.index("quantile")], begin["grid"]
    slope = (ends[-1] - ends[0]) / (grid[-1] - grid[0])
    assert loss(slope, ends[0] - slope * grid[0]) == pytest.approx(best, rel=0.01)
    below, on = outcome.figures["below"], outcome.figures["on"]
    assert below <= quantile * len(x) <= below + on
    assert f" {below} of 24 points ({100 * below / 24:.0f} %), " in outcome.sentence


def test_the_edge_of_the_bowl_parts_what_settles_from_what_diverges():
    experiment = EXPERIMENTS["optimizers"]
    for factor, is_lost in ((0.9, False), (1.2, True)):
        edge = experiment.edge(experiment.surface(read(experiment.controls, "{}"))[1])
        values = read(experiment.controls, json.dumps({"rate": factor * edge, "steps": 120}))
        paths = [
            event["at"] for event in experiment.run(values, lambda: False) if isinstance(event, dict) and "at" in event
        ]
        last = paths[-1].get("0", [None])
        assert (last[-1] is None or last[-1] > 1e3) == is_lost


@pytest.mark.parametrize("surface", ["valley", "saddle"])
def test_a_surface_by_formula_is_walked_downhill(surface):
    begin, frames, _ = run("optimizers", surface=surface, steps=60)
    last = [frame for frame in frames if "at" in frame][-1]["at"]
    assert min(at[2] for at in last.values()) < begin["first"][2]


@pytest.mark.parametrize("batch", ["0", "16", "1"])
def test_every_step_is_told_and_none_is_made_beyond_the_last(batch):
    begin, frames, _ = run("optimizers", batch=batch, steps=30, rate=0.01)
    told = [frame for frame in frames if "at" in frame]
    assert [frame["step"] for frame in told] == list(range(1, 31))
    experiment = EXPERIMENTS["optimizers"]
    values = read(experiment.controls, json.dumps({"batch": batch}))
    _, x, y = experiment.surface(values)
    weight, size = numpy.array(begin["first"][:2]), int(batch) or len(x)
    for step, frame in enumerate(told):
        epoch, place = divmod(step, len(x) // size)
        rows = row_order(len(x), seed=0, fold=0, epoch=epoch)[place * size : (place + 1) * size]
        weight = weight - 0.01 * 2 * (x[rows] @ weight - y[rows]) @ x[rows] / size
        assert frame["at"]["0"][:2] == pytest.approx(weight, abs=1e-3)


def test_all_rates_of_all_optimizers_fill_the_map():
    begin, frames, outcome = run("optimizers", steps=30)
    cells, suited = [(frame["map"], frame.get("suited")) for frame in frames if "map" in frame][-1]
    assert len(cells) == len(begin["names"]) * len(begin["rates"])
    table = numpy.array([numpy.inf if cell is None else cell for cell in cells]).reshape(len(begin["names"]), -1)
    rates = numpy.array(begin["rates"])
    for name, row, ends in zip(begin["names"], table, outcome.figures["own"].values(), strict=True):
        low, high = (int(numpy.abs(numpy.log(rates / rate)).argmin()) for rate in ends)
        assert low <= row.argmin() <= high and (row[low : high + 1] <= (1 + ALIKE) * row.min()).all()
        assert all(row[place] > (1 + ALIKE) * row.min() for place in (low - 1, high + 1) if 0 <= place < len(row))
        assert f"{name} {ends[0]:.2g}{f' to {ends[1]:.2g}' if high > low else ''}" in suited


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate": 1.0}, "Adagrad, RMSprop and Adam are equally low"),
        ({"rate": 1.0}, "SGD, Momentum and Nesterov have diverged"),
        ({"rate": 0.05, "stretch": 10.0, "batch": "1"}, "SGD, Momentum and Nesterov have diverged"),
        ({"rate": 0.05, "batch": "16"}, "with fewer it may do so earlier"),
        ({"surface": "saddle", "rate": 1.0}, "Nesterov has diverged"),
        ({"surface": "valley"}, "Momentum is lowest"),
    ],
)
def test_all_that_are_lowest_and_all_that_have_diverged_are_named(given, said):
    begin, frames, outcome = run("optimizers", **given)
    assert said in outcome.sentence
    losses = dict(zip(begin["names"], outcome.figures["losses"].values(), strict=True))
    lost = [name for name, loss in losses.items() if numpy.isinf(loss)]
    last = [frame["at"] for frame in frames if "at" in frame][-1]
    beyond = [
        name for place, name in enumerate(begin["names"])
        if (last.get(str(place), [None])[-1] or numpy.inf) >= begin["diverged"] * begin["first"][2]
    ]  # fmt: skip
    assert lost == beyond
    named = re.search(r"[;] ([^;]*) ha(?:s|ve) diverged", outcome.sentence)
    assert (re.split(", | and ", named[1]) if named else []) == lost


def test_a_way_is_straight_or_goes_back_and_forth():
    straight = numpy.stack([numpy.linspace(0, 1, 9), numpy.linspace(0, 2, 9)], 1)
    end = straight[-1]
    assert Way.of(straight, 0.01, end) == Way(pytest.approx(1.0), 0)
    assert Way.of(straight[:5], 0.01, end) == Way(pytest.approx(1.0), 0)  # what is left of it counts as if it went on
    jagged = straight + numpy.outer((-1.0) ** numpy.arange(9), [0.0, 1.0])
    assert Way.of(jagged, 0.01, end).turns == 7 and Way.of(jagged, 0.01, end).detour > 4
    assert Way.of(jagged, 10.0, end).turns == 0


@pytest.mark.parametrize("given", [{}, {"stretch": 1.0}, {"rate": 0.001}, {"surface": "saddle", "rate": 0.001}])
def test_only_those_that_arrived_are_said_to_have_gone_straight(given):
    """Adagrad's steps become ever shorter: of the little way that it has gone, all is straight."""
    begin, frames, outcome = run("optimizers", **given)
    last = [frame["at"] for frame in frames if "at" in frame][-1]
    first, lowest = numpy.array(begin["first"][:2]), numpy.array(begin["lowest"])

    def has_come(place):
        left = numpy.linalg.norm(numpy.array(last[str(place)][:2]) - lowest, axis=1)
        return str(place) in last and bool((left < LEFT * numpy.linalg.norm(first - lowest, axis=1)).any())

    came = [name for place, name in enumerate(begin["names"]) if has_come(place)]
    ways = outcome.figures["ways"]
    assert [name.lower() for name in came] == [name.replace("_", "").lower() for name in ways]
    least = min((way.detour for way in ways.values()), default=0)
    right = [name for name, words in outcome.compared.items() if "you were right" in words]
    assert right == [name for name, way in ways.items() if way.detour < least + 0.005]
    if not given:
        assert "adagrad" not in ways and f"Of the {len(ways)} that came to the lowest place" in outcome.sentence
    if len(ways) < 2:
        who = "None of them came" if not ways else "alone came to the lowest place"
        assert "straight" not in outcome.sentence and who in outcome.sentence and bool(outcome.compared) == bool(ways)


def test_trainings_that_are_too_short_are_said_to_be():
    _, _, outcome = run("duration", rows=200, noise=0.05)
    assert (outcome.figures["best_epoch"] > 0.9 * duration.EPOCHS) == ("are too few here" in outcome.sentence)
    errors = {"last": 0.05, "lowest": 0.05, "train_then": 0.04, "train_last": 0.04}
    short = {"best_epoch": 0.95 * duration.EPOCHS, "noise": 0.05, "spread": 0.9, **errors}
    assert f"{duration.EPOCHS} epochs are too few" in EXPERIMENTS["duration"].verdict(
        {"rows": 200, "noise": 0.05}, short
    )
    early = short | {"best_epoch": duration.EPOCHS / 2}
    assert "too few" not in EXPERIMENTS["duration"].verdict({"rows": 200, "noise": 0.05}, early)


@pytest.mark.parametrize("kind", ["circle", "corners", "spiral", "blobs"])
def test_points_of_two_classes_are_as_many_of_each(kind):
    x, y = points(kind, 300, 0.2)
    assert x.shape == (300, 2) and (y == 0).sum() == (y == 1).sum() == 150 and numpy.abs(x).max() < 3


def test_the_best_network_is_that_of_the_curves():
    _, frames, outcome = run("network")
    errors = outcome.figures["errors"]
    assert outcome.figures["best"] == int(numpy.argmin(errors))
    told = numpy.array([frame["valid"] for frame in frames if "valid" in frame], dtype=float)
    assert numpy.nanmin(told, axis=0) == pytest.approx(errors, rel=1e-3)
    last = frames[-1]
    assert len(last["surfaces"]) == 8 and last["best"] == outcome.figures["best"]
    assert last["valid"][last["best"]] == pytest.approx(min(outcome.figures["errors"]), rel=1e-4)


def test_how_many_points_are_right_is_what_the_networks_say_of_them():
    begin, frames, outcome = run("network", data="blobs", noise=0.0)
    best, judges, y = outcome.figures["best"], numpy.array(begin["judges"]), numpy.array(begin["y"])
    factory = chain(2, 2, width=24, depth=2, dropout=True)
    network = factory().eval()
    network.load_state_dict(outcome.weights)
    with torch.no_grad():
        told = network(torch.tensor(begin["x"])[judges]).argmax(1).numpy()
    right = int((told == y[judges]).sum())
    assert f"The best of 8 by its log loss has {right} of 100 validation points right ({right} %)," in outcome.sentence
    assert frames[-1]["right"][best] == right / 100
    count = sum(share >= LEARNT for share in outcome.figures["right"])
    assert count > 1 and f"If learnt means 95 % right, {count} of the 8 learnt it, at " in outcome.sentence
    assert f"a log loss of {number(frames[-1]['valid'][best])} after" in outcome.sentence


def test_networks_that_learn_nothing_are_said_to():
    _, _, outcome = run("network", data="corners", depth=0)
    # Of the one that has most right, though another may be the best by its loss.
    right = round(100 * max(outcome.figures["right"]))
    said = "none of the networks has learnt anything" in outcome.sentence
    assert said == EXPERIMENTS["network"].is_guessing(right, 50, 100) and said == ("rate" not in outcome.sentence)
    _, _, outcome = run("network", data="spiral", depth=0, noise=1.0)
    assert "none of the 8 learnt it." in outcome.sentence and "rates from" not in outcome.sentence


def test_guessing_is_what_the_shares_of_the_classes_are_worth():
    y, judges = numpy.array([0, 0, 0, 1, 0, 1]), numpy.array([False] * 4 + [True] * 2)
    right, loss = Network.guessed(y, judges)
    assert right == 1 and loss == pytest.approx(-(numpy.log(0.75) + numpy.log(0.25)) / 2)
    assert Network.is_guessing(60, 50, 100) and not Network.is_guessing(70, 50, 100)
    assert Network.is_guessing(91, 90, 100), "nine of ten by knowing nothing"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "given"),
    [*((name, {}) for name in EXPERIMENTS), ("optimizers", {"surface": "saddle"}), ("sampling", {"split": "group"})],
)
def test_the_code_that_is_shown_runs(name, given, capsys, monkeypatch):
    for chapter in ("duration", "sampling", "losses", "network"):
        monkeypatch.setattr(f"trimtab.lab.experiments.{chapter}.EPOCHS", 8)
    experiment = EXPERIMENTS[name]
    code = experiment.code(read(experiment.controls, json.dumps(given)))
    with torch.random.fork_rng():
        exec(compile(code, name, "exec"), {})  # noqa: S102 - our own
    assert capsys.readouterr().out.strip()
