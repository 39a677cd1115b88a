"""What a network remembers: the nearest rows' targets, the nearer the heavier, and a model that is saved with them."""

import json
from dataclasses import replace

import numpy
import polars
import pytest
import torch

from exported import LINEAR, PLAIN, WAVES, trained
from trimtab.model.model import Model
from trimtab.model.neighbours import NEAREST, NEAREST_OF_CLASSES, ROWS_AT_ONCE, Neighbours, nearest, spread
from trimtab.model.tensors import training_data
from trimtab.studies.remembering import member_that_remembers
from trimtab.table.prepare import prepare
from trimtab.training.programs.mlp_program import MLPProgram

ROWS = 200


def kept(rows=60, units=5, outputs=2, reach=0.7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(shape, generator=generator) for shape in ((rows, units), (rows, outputs), (rows,))]
    return Neighbours(parts[0], parts[1], parts[2].abs() + 0.1, reach)


def by_hand(remembered, row):
    """The mean over the nearest rows, as the formula has it."""
    parts = (remembered.hidden, remembered.targets, remembered.weights)
    hidden, targets, weights = (each.double().numpy() for each in parts)
    distances = numpy.sqrt(((hidden - row) ** 2).sum(1))
    places = numpy.argsort(distances)[:NEAREST]
    shares = weights[places] * numpy.exp(-distances[places] / remembered.reach)
    return (shares[:, None] * targets[places]).sum(0) / shares.sum()


@pytest.mark.parametrize("rows", [60, 7, 1])
def test_a_prediction_is_the_weighted_mean_of_the_nearest_targets(rows):
    remembered = kept(rows)
    asked = torch.randn(ROWS_AT_ONCE + 3, 5, generator=torch.Generator().manual_seed(1))
    expected = numpy.stack([by_hand(remembered, row) for row in asked.double().numpy()])
    numpy.testing.assert_allclose(remembered.predict(asked).numpy(), expected, rtol=2e-4, atol=1e-5)
    numpy.testing.assert_allclose(remembered.predict(asked.double()).numpy(), expected, rtol=1e-9)


def test_a_row_that_is_remembered_is_its_own_nearest_neighbour_however_far_from_the_middle():
    remembered = kept(reach=1e-4)
    far = Neighbours(remembered.hidden + 300, remembered.targets, remembered.weights, remembered.reach)
    for each in (remembered, far):
        numpy.testing.assert_allclose(each.predict(each.hidden).numpy(), each.targets.numpy(), rtol=1e-5)
    distances, places = nearest(far.hidden, far.hidden, NEAREST)
    assert bool((distances[:, 0] == 0).all()) and places[:, 0].tolist() == list(range(60))


def test_so_many_rows_are_asked_as_are_said_of_them():
    remembered, row = kept(), torch.zeros(1, 5)
    few, every = replace(remembered, nearest=1).predict(row), replace(remembered, nearest=60).predict(row)
    closest = remembered.hidden.norm(dim=1).argmin()
    numpy.testing.assert_allclose(few[0].numpy(), remembered.targets[closest].numpy(), rtol=1e-5)
    shares = remembered.weights.double() * (-remembered.hidden.double().norm(dim=1) / remembered.reach).exp()
    expected = (shares[:, None] * remembered.targets).sum(0) / shares.sum()
    numpy.testing.assert_allclose(every[0].numpy(), expected.numpy(), rtol=1e-5)


def test_the_spread_of_rows_is_their_distance_from_the_middle():
    rows = torch.tensor([[0.0, 0.0], [6.0, 8.0]])
    assert spread(rows) == pytest.approx(5.0) and spread(rows[:1]) == 1.0


def table(kind):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(ROWS, 2))
    level = numpy.sin(3 * x[:, 0]) + 0.1 * x[:, 1]
    y = 1e4 * level if kind == "numbers" else numpy.array(["low", "middle", "high"])[numpy.digitize(level, [-0.4, 0.4])]
    return polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "place": [f"p{i % 40}" for i in range(ROWS)], "y": y})


def remembering(kind, networks=(WAVES, PLAIN), weight=None):
    """A model of which the first network predicts once more, by what it remembers."""
    frame = table(kind)
    if weight is not None:
        frame = frame.with_columns(w=polars.Series(weight))
    prepared = prepare(frame, target="y", test="none", category=["place"], weight=None if weight is None else "w")
    model = trained(prepared, networks=networks, epochs=5)
    data, first = training_data(prepared, torch.device("cpu")), model.members[0]
    rows = torch.arange(data.rows)
    program = MLPProgram(trained_module(model, first))
    own = member_that_remembers(first, data, program, (rows[::2], rows[1::2]), (0.05, 0.05))
    return frame, prepared, Model(model.encoder, model.target, (*model.members, own))


def trained_module(model, member):
    from trimtab.model.model import build

    return build(model.encoder, model.target, member.network)


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_a_member_that_remembers_predicts_the_targets_of_rows_it_has_seen(kind):
    frame, prepared, model = remembering(kind)
    alone = Model(model.encoder, model.target, (replace(model.members[-1], share=1.0),))
    truth = prepared.target_encoder.truth(frame)
    # Each of its two networks has seen half of the rows, and for those is nearly sure.
    raw = alone.raw(frame)[0]
    if kind == "classes":
        assert raw.sum(1) == pytest.approx(1) and (raw[numpy.arange(ROWS), truth] > 0.45).mean() > 0.9
    else:
        assert numpy.corrcoef(raw[:, 0], truth[:, 0])[0, 1] > 0.8
    assert model.rows_remembered == ROWS // 2 and alone.networks == 2 and model.networks == 4


def test_rows_that_count_for_nothing_are_not_remembered():
    weights = numpy.where(numpy.arange(ROWS) % 4 < 2, 1.0, 0.0)
    _, _, model = remembering("numbers", weight=weights)
    assert model.rows_remembered <= ROWS // 4


def test_a_model_that_remembers_is_saved_with_its_rows_and_an_older_one_loads(tmp_path):
    frame, _, model = remembering("numbers")
    assert remembering("classes")[2].members[-1].neighbours[0].nearest == NEAREST_OF_CLASSES
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert numpy.array_equal(loaded.predict(frame), model.predict(frame))
    document = json.loads((tmp_path / "model" / "model.json").read_text())
    assert document["format"] == 6 and [len(each["reaches"]) for each in document["members"]] == [0, 0, 2]
    assert [each.get("nearest") for each in document["members"]] == [None, None, NEAREST]
    from trimtab.model.model import _digest

    document["format"] = 4
    del document["members"][2]["nearest"]
    document["digest"] = _digest(document)
    (tmp_path / "model" / "model.json").write_text(json.dumps(document))
    assert numpy.array_equal(Model.load(tmp_path / "model").predict(frame), model.predict(frame))
    plain = Model(model.encoder, model.target, model.members[:2])
    plain.save(tmp_path / "plain")

    body = json.loads((tmp_path / "plain" / "model.json").read_text())
    for member in body["members"]:
        del member["reaches"]
    body["format"] = 2
    del body["target"]["factors"]
    body["digest"] = _digest(body)
    (tmp_path / "plain" / "model.json").write_text(json.dumps(body))
    assert numpy.array_equal(Model.load(tmp_path / "plain").predict(frame), plain.predict(frame))


def test_a_row_predicts_the_same_alone_and_among_others():
    frame, _, model = remembering("numbers", networks=(WAVES, LINEAR))
    together = model.raw_of(model.encoder.encode(frame), dtype=torch.float64)
    alone = model.raw_of(model.encoder.encode(frame[7:8]), dtype=torch.float64)
    numpy.testing.assert_allclose(together[7], alone[0], rtol=1e-9)
