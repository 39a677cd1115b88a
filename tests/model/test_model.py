import copy
import json
import pickle
import shutil

import numpy
import polars
import pytest
import torch

import trimtab as tt
from trimtab.model.model import Member, Model, build
from trimtab.table.prepare import prepare


@pytest.fixture(scope="module")
def frame():
    rng = numpy.random.default_rng(0)
    return polars.DataFrame(
        {
            "size": rng.normal(size=120) * 30 + 100,
            "kind": [("a", "b", "c")[i % 3] for i in range(120)],
            "place": [f"street {i % 30}" for i in range(120)],
            "price": rng.normal(size=120) * 1e5 + 3e5,
        }
    )


@pytest.fixture
def model(frame):
    prepared = prepare(frame, target="price", test="none", category=["place"])
    network = {"width": 8, "depth": 1, "activation": "relu", "inputs": "periodic", "sigma": 0.2}
    module = build(prepared.encoder, prepared.target_encoder, network)
    size = sum(p.numel() for p in module.parameters())
    generator = torch.Generator().manual_seed(0)
    members = (
        Member(network, torch.randn(3, size, generator=generator) * 0.1, 0.75),
        Member(network, torch.randn(2, size, generator=generator) * 0.1, 0.25),
    )
    return Model(prepared.encoder, prepared.target_encoder, members)


def test_a_saved_and_loaded_model_predicts_the_same_bits(model, frame, tmp_path):
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert numpy.array_equal(loaded.predict(frame), model.predict(frame))
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"model.json", "weights.safetensors"}


def test_rows_of_a_file_are_predicted_as_those_of_a_frame(model, frame, tmp_path):
    frame.write_csv(tmp_path / "rows.csv")
    for path in (tmp_path / "rows.csv", str(tmp_path / "rows.csv")):
        assert numpy.array_equal(model.predict(path), model.predict(frame))


def test_a_prediction_is_the_weighted_mean_of_the_members_networks(model, frame):
    def alone(member, i):
        single = Member(member.network, member.parameters[i : i + 1], 1.0)
        return Model(model.encoder, model.target, (single,)).predict(frame)

    means = [numpy.mean([alone(m, i) for i in range(len(m.parameters))], axis=0) for m in model.members]
    expected = sum(m.share * mean for m, mean in zip(model.members, means, strict=True))
    numpy.testing.assert_allclose(model.predict(frame), expected, rtol=1e-6)


def test_order_of_columns_and_more_of_them_change_nothing(model, frame):
    shuffled = frame.select(polars.lit("x").alias("extra"), "place", "size", "kind")
    assert numpy.array_equal(model.predict(shuffled), model.predict(frame))
    assert numpy.array_equal(model.predict(frame.to_pandas()), model.predict(frame))


def test_rows_come_out_as_many_and_in_the_order_they_came_in(model, frame):
    assert model.predict(frame.head(0)).shape == (0,)
    together = model.predict(frame)
    backwards = model.predict(frame.reverse())[::-1]
    numpy.testing.assert_allclose(together, backwards, rtol=1e-5)


def test_a_flipped_byte_anywhere_is_found(model, tmp_path):
    model.save(tmp_path / "model")
    rng = numpy.random.default_rng(0)
    for name in ("model.json", "weights.safetensors"):
        whole = (tmp_path / "model" / name).read_bytes()
        for place in rng.integers(0, len(whole), 40):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(0, 7))
            (tmp_path / "model" / name).write_bytes(damaged)
            if _same_meaning(name, whole, bytes(damaged)):
                continue
            with pytest.raises(tt.ModelError):
                Model.load(tmp_path / "model")
        (tmp_path / "model" / name).write_bytes(whole)
    Model.load(tmp_path / "model")


def _same_meaning(name, whole, damaged):
    try:
        return name == "model.json" and json.loads(damaged) == json.loads(whole)
    except ValueError:
        return False


def test_what_is_missing_or_newer_says_so(model, tmp_path):
    with pytest.raises(tt.ModelError, match=r"no model.json"):
        Model.load(tmp_path / "nowhere")
    model.save(tmp_path / "model")
    (tmp_path / "model" / "weights.safetensors").unlink()
    with pytest.raises(tt.ModelError, match="incomplete"):
        Model.load(tmp_path / "model")
    body = json.loads((tmp_path / "model" / "model.json").read_text()) | {"format": 99}
    (tmp_path / "model" / "model.json").write_text(json.dumps(body))
    with pytest.raises(tt.ModelError, match="newer trimtab"):
        Model.load(tmp_path / "model")


def test_killed_while_saving_the_previous_model_is_still_there(model, frame, tmp_path):
    model.save(tmp_path / "model")
    shutil.move(tmp_path / "model", tmp_path / ".model.previous")
    assert numpy.array_equal(Model.load(tmp_path / "model").predict(frame), model.predict(frame))
    model.save(tmp_path / "model")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


def test_a_regression_has_no_probabilities(model, frame):
    with pytest.raises(tt.ModelError, match="no probabilities"):
        model.predict_proba(frame)


def test_a_pickled_model_is_the_saved_one_and_holds_nothing_of_torchs(model, frame):
    content = pickle.dumps(model)
    assert b"torch" not in content.lower()
    assert numpy.array_equal(pickle.loads(content).predict(frame), model.predict(frame))
    assert numpy.array_equal(copy.deepcopy(model).predict(frame), model.predict(frame))
    place = content.index(model.members[0].parameters[0, :8].numpy().tobytes()) + 2
    damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    with pytest.raises(tt.ModelError, match=r"weights of this model is damaged"):
        pickle.loads(damaged)


def test_in_float64_a_row_alone_is_the_row_in_its_batch(model, frame):
    encoded = model.encoder.encode(frame)
    whole = model.raw_of(encoded, dtype=torch.float64)
    alone = [model.raw_of(model.encoder.encode(frame[i]), dtype=torch.float64) for i in range(frame.height)]
    numpy.testing.assert_allclose(numpy.concatenate(alone), whole, rtol=1e-12)
    numpy.testing.assert_allclose(whole, model.raw_of(encoded), rtol=1e-4)


def test_predicting_leaves_the_callers_generator_where_it_is(model, frame):
    before = torch.get_rng_state()
    model.predict(frame)
    assert torch.equal(torch.get_rng_state(), before)
