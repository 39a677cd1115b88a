"""The estimators with the manners of scikit-learn, beyond its own checks (tests/test_estimator_checks.py)."""

import copy
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from datetime import date
from decimal import Decimal
from pathlib import Path
from pkgutil import resolve_name

import numpy
import pandas
import polars
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, RepeatedKFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import trimtab as tt
from trimtab.knobs.table import TABLE_KNOBS
from trimtab.model.model import FORMAT

pytestmark = pytest.mark.slow
SMALL = {"trials": 2, "epochs": 12, "width": 16, "random_state": 0}
ROWS = 40


def regressor(**options):
    return tt.TrimtabRegressor(**{**SMALL, **options})


def classifier(**options):
    return tt.TrimtabClassifier(**{**SMALL, **options})


def mixed(rows=ROWS):
    """A frame of every kind of column that can be learnt from, with gaps, and a target."""
    rng = numpy.random.default_rng(0)
    size = rng.normal(size=rows)
    frame = polars.DataFrame(
        {
            "size": numpy.where(rng.random(rows) < 0.1, numpy.nan, size),
            "count": rng.integers(0, 5, rows),
            "kind": polars.Series([("a", "b", None)[i % 3] for i in range(rows)]),
            "is_new": rng.random(rows) < 0.5,
            "day": polars.date_range(polars.date(2024, 1, 1), polars.date(2024, 2, 9), eager=True)[:rows],
        }
    )
    return frame, size * 2 + numpy.array([i % 3 for i in range(rows)])


@pytest.fixture(scope="module")
def fitted():
    x, y = load_diabetes(return_X_y=True)
    return regressor().fit(x[:200], y[:200]), x, y


# -- weights, order, seeds


@pytest.mark.parametrize("options", [{}, {"cv": 3}, {"single": True}])
@pytest.mark.parametrize("make", [regressor, classifier])
def test_weights_are_repeated_or_removed_rows_in_any_order(make, options):
    frame, y = mixed()
    y = y if make is regressor else numpy.where(y > y.mean(), "high", "low")
    times = numpy.random.default_rng(1).integers(0, 4, ROWS)
    repeated = numpy.random.default_rng(2).permutation(numpy.repeat(numpy.arange(ROWS), times))
    weighted = make(**options).fit(frame, y, sample_weight=times)
    other = make(**options).fit(frame[repeated], y[repeated])
    assert weighted.model_.pack() == other.model_.pack()
    assert numpy.array_equal(weighted.predict(frame), other.predict(frame))


def test_fractions_as_weights_count_in_any_order_and_more_weight_is_heeded_more():
    frame, y = mixed()
    weights = numpy.random.default_rng(1).random(ROWS) + 0.1
    order = numpy.random.default_rng(2).permutation(ROWS)
    one = regressor().fit(frame, y, weights)
    assert one.model_.pack() == regressor().fit(frame[order], y[order], weights[order]).model_.pack()
    x = numpy.zeros((30, 1))
    x[:, 0] = numpy.arange(30) % 2
    values = numpy.arange(30) % 3
    heavy = regressor().fit(x, values, numpy.where(values == 2, 1e6, 1e-6))
    numpy.testing.assert_allclose(heavy.predict([[0.0], [1.0]]), 2.0, atol=0.2)


def test_the_same_seed_gives_the_same_model_and_another_one_another():
    frame, y = mixed()
    one, same, other = (regressor(random_state=seed).fit(frame, y).model_.pack() for seed in (3, 3, 4))
    assert one == same != other
    stream = numpy.random.RandomState(3)
    first, second = (regressor(random_state=stream).fit(frame, y).model_.pack() for _ in range(2))
    assert first != second
    assert first == regressor(random_state=numpy.random.RandomState(3)).fit(frame, y).model_.pack()


def test_a_fit_with_a_seed_leaves_the_callers_generators_and_settings_alone():
    frame, y = mixed()
    before = torch.get_rng_state(), numpy.random.get_state()[1].tolist(), torch.get_num_threads()
    tiny = torch.tensor(1e-39)
    regressor().fit(frame, y).predict(frame)
    assert torch.equal(torch.get_rng_state(), before[0]) and numpy.random.get_state()[1].tolist() == before[1]
    assert torch.get_num_threads() == before[2]
    assert float(tiny * 1) > 0


def test_a_row_alone_is_predicted_as_in_its_batch(fitted):
    model, x, _ = fitted
    alone = numpy.concatenate([model.predict(row[None]) for row in x[:50]])
    numpy.testing.assert_allclose(alone, model.predict(x)[:50], rtol=1e-12)


# -- what comes in


def test_pandas_polars_and_pyarrow_are_the_same_table():
    frame, y = mixed()
    expected = regressor().fit(frame, y).predict(frame)
    for other in (frame.to_pandas(), frame.to_arrow(), frame.with_columns(polars.col("kind").cast(polars.Categorical))):
        model = regressor().fit(other, y)
        assert model.feature_names_in_.tolist() == frame.columns and model.n_features_in_ == 5
        numpy.testing.assert_allclose(model.predict(other), expected, rtol=1e-9)
        numpy.testing.assert_allclose(model.predict(frame), expected, rtol=1e-9)
    for series in (pandas.Series(y, name="price"), polars.Series("price", y)):
        model = regressor().fit(frame, series)
        assert model.model_.target.names == ("price",)
        numpy.testing.assert_allclose(model.predict(frame), expected, rtol=1e-9)


def test_names_of_columns_are_held_to():
    frame, y = mixed()
    model = regressor().fit(frame, y)
    with pytest.raises(ValueError, match="same order"):
        model.predict(frame.select(reversed(frame.columns)))
    with pytest.raises(ValueError, match="unseen at fit time"):
        model.predict(frame.rename({"size": "length"}))
    with pytest.raises(ValueError, match="is expecting 5 features"):
        regressor().fit(frame.to_pandas().to_numpy(), y).predict(numpy.zeros((3, 4)))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert model.predict(frame.to_pandas().to_numpy()).shape == (ROWS,)
    array = regressor().fit(frame["size", "count"].to_numpy(), y)
    assert not hasattr(array, "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names"):
        array.predict(frame["size", "count"])


def test_arrays_of_objects_may_hold_text_and_gaps():
    rows = numpy.array([["red", 1.0], ["blue", None], ["red", 3.0], [None, 4.0]] * 6, dtype=object)
    y = numpy.array(["x", "y", "x", "y"] * 6)
    model = classifier(epochs=60).fit(rows, y)
    assert model.score(rows, y) == 1.0
    assert set(model.predict([["green", "2"], ["red", numpy.nan]])) <= {"x", "y"}


def test_several_targets_are_predicted_together():
    frame, y = mixed()
    both = numpy.stack([y, -y], axis=1)
    model = regressor(epochs=100).fit(frame, both)
    assert model.predict(frame).shape == (ROWS, 2) and model.score(frame, both) > 0.5
    named = regressor().fit(frame, polars.DataFrame({"up": y, "down": -y}))
    assert named.model_.target.names == ("up", "down")
    assert regressor().fit(frame, y[:, None]).predict(frame).shape == (ROWS, 1)


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [-1, 1], [False, True], [" NA", "NA"], ["1", "1.0"], [3, 10, 7], ["b", "a", "c"]]
)
def test_labels_come_back_as_they_were(labels):
    x = numpy.repeat(numpy.arange(len(labels)), 10)[:, None] + numpy.linspace(0, 0.1, 10 * len(labels))[:, None]
    y = numpy.repeat(numpy.array(labels), 10)
    model = classifier(epochs=60).fit(x, y)
    assert model.classes_.tolist() == sorted(labels) and model.classes_.dtype == y.dtype
    assert model.score(x, y) == 1.0 and model.predict(x).dtype == y.dtype
    probabilities = model.predict_proba(x)
    assert probabilities.shape == (len(x), len(labels))
    numpy.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert model.model_.predict(x).tolist() == y.tolist()


DAYS = [date(2024, 1, 1), date(2024, 2, 1)]
QUICK = {"trials": 1, "epochs": 30, "lr": 0.05, "optimizer": "adam", "dropout": 0.0, "cv": 2}


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (polars.Series(DAYS * 10), ["2024-01-01", "2024-02-01"]),
        ([Decimal("1.10"), Decimal("2.25")] * 10, [1.1, 2.25]),
        (numpy.array([b"x", b"y"] * 10), ["x", "y"]),
        (numpy.array([2**63, 2**63 + 1] * 9 + [-1, -1], dtype=object), ["-1", str(2**63), str(2**63 + 1)]),
    ],
    ids=["days", "decimals", "bytes", "large"],
)
def test_labels_of_every_type_are_learnt_scored_saved_and_found_again(y, told, tmp_path):
    given = list(y)
    known = sorted(set(given))
    x = numpy.eye(3)[[known.index(label) for label in given]]
    model = classifier(**QUICK).fit(x, y)
    assert model.classes_.tolist() == known and model.predict(x).tolist() == given
    assert model.score(x, y) == 1.0 and model.score(x, y, numpy.ones(20)) == 1.0
    twin = pickle.loads(pickle.dumps(model))
    assert twin.predict(x).tolist() == given and twin.classes_.dtype == model.classes_.dtype
    model.model_.save(tmp_path / "model")
    loaded = tt.load_model(tmp_path / "model")
    assert list(loaded.target.classes) == list(model.model_.target.classes) == told
    assert set(loaded.predict(x).tolist()) == set(told)
    # A table that holds the same labels is told by the saved model.
    assert loaded.evaluate((x, y)).figures["accuracy"].value == 1.0


def test_a_score_counts_rows_by_their_weights():
    x, y = numpy.eye(2)[[0, 1] * 10], DAYS * 10
    model = classifier(**QUICK).fit(x, y)
    assert model.score(x, DAYS[:1] * 20) == 0.5
    assert model.score(x, DAYS[:1] * 20, sample_weight=[3, 1] * 10) == 0.75


def test_a_class_without_weight_is_not_there():
    x, y = numpy.arange(12.0)[:, None], numpy.array(["a", "b", "c"] * 4)
    model = classifier().fit(x, y, sample_weight=(y != "b"))
    assert model.classes_.tolist() == ["a", "c"] and model.predict_proba(x).shape == (12, 2)


@pytest.mark.parametrize(
    ("make", "x", "y"),
    [
        (regressor, [[0.0], [1.0]], [1.0, 2.0]), (regressor, [[0.0], [1.0]], [5.0, 5.0]),
        (regressor, [[1.0], [1.0]], [5.0, 5.0]), (regressor, [[1.0], [1.0]], [5.0, 6.0]),
        (classifier, [[0.0], [1.0]], ["a", "b"]), (classifier, [[0.0], [1.0], [2.0]], ["a", "a", "b"]),
    ],
)  # fmt: skip
def test_two_rows_are_enough(make, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # With nothing held still, the mean may be the model.
        model = make(width=None, epochs=None).fit(x, y)
        predicted = model.predict(x)
    if make is regressor and len(set(y)) == 1:
        assert predicted.tolist() == y
    elif make is classifier:
        assert set(predicted) <= set(y)
    else:
        assert numpy.isfinite(predicted).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"trials": 0}, "trials is 0"), ({"trials": True}, "trials is True"), ({"threads": 0.5}, "threads is 0.5"),
        ({"cv": 1}, "cv is 1"), ({"cv": "5"}, "cv is '5'"), ({"cv": GroupKFold(3)}, "groups"),
        ({"metric": "rmsee"}, "Did you mean"), ({"metric": "accuracy"}, "regression"),
        ({"loss": "focal"}, "regression"), ({"gamma": 1.0}, "gamma cannot be set"), ({"lr": -1.0}, "lr"),
        ({"width": 2.5}, "width"),
        ({"budget": "3s"}, "at least 5 s"), ({"budget": "soon"}, "not a duration"), ({"device": "tpu"}, "no device"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_when_fitting(options, match):
    frame, y = mixed()
    with pytest.raises(ValueError, match=match):
        regressor(**options).fit(frame, y)


def test_moments_are_no_numbers_to_predict():
    frame, _ = mixed()
    with pytest.raises(tt.DataError, match="y holds moments"):
        regressor().fit(frame, pandas.date_range("2024-01-01", periods=ROWS, tz="UTC").to_series())


def test_what_a_classifier_cannot_take_is_said():
    frame, y = mixed()
    with pytest.raises(ValueError, match="numbers with fractions, such as"):
        classifier().fit(frame, y)
    with pytest.raises(ValueError, match="y mixes text and true and false"):
        classifier().fit(frame, ["a", True] * (ROWS // 2))
    with pytest.raises(ValueError, match='one class only, "a"'):
        classifier().fit(frame, ["a"] * ROWS)
    with pytest.raises(ValueError, match="delta and tau cannot be set"):
        classifier(delta=1.0, tau=0.5).fit(frame, y > 0)
    with pytest.raises(NotFittedError):
        classifier().predict_proba(frame)
    with pytest.raises(ValueError, match="at least 1 is required"):
        regressor().fit(frame, y).predict(frame[:0])


# -- options


def test_every_knob_is_a_parameter():
    assert set(TABLE_KNOBS) <= set(tt.TrimtabRegressor().get_params())
    assert tt.TrimtabRegressor().get_params() == tt.TrimtabClassifier().get_params()


def test_knobs_that_are_set_stand_still():
    x = numpy.linspace(-3, 3, 60)[:, None]
    fixed = {
        "loss": "huber", "delta": 0.5, "optimizer": "rmsprop", "lr": numpy.float64(0.01), "schedule": "constant",
        "batch_size": 16, "epochs": 60, "width": numpy.int64(8), "depth": 3, "activation": "tanh", "inputs": "scaled",
        "dropout": 0.0, "weight_decay": 0.0,
    }  # fmt: skip
    config = regressor(**fixed).fit(x, numpy.abs(x[:, 0])).result_["config"]
    assert dict(config["network"]) == {"width": 8, "depth": 3, "activation": "tanh", "inputs": "scaled"}
    assert config["loss"] | {"name": "huber", "parameter": 0.5} == config["loss"]
    assert config["optimizer"]["name"] == "rmsprop" and config["optimizer"]["learning_rate"] == 0.01
    assert config["schedule"]["name"] == "constant" and (config["batch_size"], config["epochs"]) == (16, 60)


def test_folds_are_those_of_cv():
    x, y = numpy.arange(30.0)[:, None], numpy.arange(30.0)
    assert regressor(cv=3).fit(x, y).result_["runs"] == 3 * 4
    ordered = regressor(cv=TimeSeriesSplit(4)).fit(x, y)
    assert ordered.result_["rows"] == {"train": 24, "valid": 6, "test": 0} and ordered.result_["runs"] == 4 * 4
    pairs = [(numpy.arange(20), numpy.arange(20, 30)), (numpy.arange(10, 30), numpy.arange(10))]
    assert regressor(cv=pairs).fit(x, y).result_["rows"]["train"] == 20
    masks = [(numpy.arange(30) < 20, numpy.arange(30) >= 20)]
    assert regressor(cv=masks).fit(x, y).result_["rows"] == {"train": 20, "valid": 10, "test": 0}
    repeated = regressor(cv=RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), epochs=100).fit(x, y)
    assert repeated.result_["runs"] == 6 * 4 and repeated.score(x, y) > 0.9


def test_single_is_one_network():
    frame, y = mixed()
    model = regressor(single=True).fit(frame, y)
    assert model.model_.networks == 1 and regressor().fit(frame, y).model_.networks >= 5


def test_what_was_found_is_told():
    frame, y = mixed()
    model = regressor(metric="mae").fit(frame.with_columns(text=polars.Series([f"note {i}" for i in range(ROWS)])), y)
    assert model.result_["metric"] == "mae" and model.result_["validation"]["mae"] > 0
    assert "out" not in model.result_ and set(model.result_["baselines"]) == {"mean", "linear"}
    assert isinstance(model.words_, str) and any('"text" is left out' in notice for notice in model.notices_)


def test_trials_end_a_fit_before_its_budget_does():
    frame, y = mixed()
    assert regressor(budget="1h").fit(frame, y).result_["trials"] == 4  # two of them baselines


# -- scikit-learn around it


def test_in_a_pipeline_frames_pass_through_set_output():
    frame, y = mixed()
    for kind in ("pandas", "polars"):
        scaled = make_column_transformer((StandardScaler(), ["size", "count"]), verbose_feature_names_out=False)
        pipeline = make_pipeline(scaled, regressor()).set_output(transform=kind)
        pipeline.fit(frame if kind == "polars" else frame.to_pandas(), y)
        assert pipeline[-1].feature_names_in_.tolist() == ["size", "count"]
        assert pipeline.predict(frame if kind == "polars" else frame.to_pandas()).shape == (ROWS,)
    weighted = make_pipeline(FunctionTransformer(), regressor())
    weighted.fit(frame, y, trimtabregressor__sample_weight=numpy.ones(ROWS))


@pytest.mark.long
def test_a_search_over_knobs_runs_in_processes_of_their_own():
    x, y = load_iris(return_X_y=True)
    search = GridSearchCV(
        classifier(), {"loss": ["cross_entropy", "focal"], "width": numpy.array([8, 16])}, cv=2, n_jobs=2
    )
    search.fit(x[::3], y[::3])
    assert search.best_params_["width"] in (8, 16) and search.best_score_ > 0.8
    assert search.best_estimator_.predict(x).shape == (150,)


def test_weights_are_routed_where_they_are_asked_for():
    frame, y = mixed()
    with config_context(enable_metadata_routing=True):
        model = regressor().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scores = cross_val_score(model, frame.to_pandas(), y, cv=KFold(2), params={"sample_weight": numpy.ones(ROWS)})
    assert len(scores) == 2
    copied = clone(regressor(lr=0.01))
    assert copied.lr == 0.01 and not hasattr(copied, "model_")


# -- pickling


def test_a_pickle_holds_the_saved_form_and_works_in_another_process(fitted, tmp_path):
    model, x, _ = fitted
    content = pickle.dumps(model)
    assert b"torch" not in content and f'"format": {FORMAT}'.encode() in content
    (tmp_path / "model.pickle").write_bytes(content)
    numpy.save(tmp_path / "x.npy", x)
    code = (
        "import numpy, pickle; model = pickle.load(open('model.pickle', 'rb'));"
        "numpy.save('y.npy', model.predict(numpy.load('x.npy')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    numpy.testing.assert_allclose(numpy.load(tmp_path / "y.npy"), model.predict(x), rtol=1e-12)
    twin = copy.deepcopy(model)
    assert numpy.array_equal(twin.predict(x), model.predict(x)) and twin.get_params() == model.get_params()


def test_the_model_can_be_kept_for_the_command_line(fitted, tmp_path):
    model, x, _ = fitted
    model.model_.save(tmp_path / "model")
    numpy.testing.assert_allclose(tt.load_model(tmp_path / "model").predict(x), model.predict(x), rtol=1e-5)


# -- nothing is left behind


def threads_and_folders():
    return set(threading.enumerate()), set(Path(tempfile.gettempdir()).glob("trimtab-*"))


def test_no_thread_and_no_file_outlives_a_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    frame, y = mixed()
    before = threads_and_folders()
    regressor(threads=2).fit(frame, y)
    assert threads_and_folders() == before
    monkeypatch.setattr("trimtab.tuning.budget.SHORTEST", 1.0)  # a search by the clock, a short one
    tt.TrimtabRegressor(budget=1.5, width=16, epochs=12, threads=2).fit(frame, y)
    assert threads_and_folders() == before
    with pytest.raises(ValueError, match="figure for roc_auc"):
        classifier(metric="roc_auc").fit([[0.0], [1.0], [2.0]], ["a", "a", "b"])
    assert threads_and_folders() == before
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals are sent to threads here")
@pytest.mark.parametrize(
    ("during", "call"), [("training.lanes.tile:Tile.train", 20), ("training.compiling.compiler:wait", 1)]
)
def test_ctrl_c_ends_a_fit_and_leaves_nothing(during, call, tmp_path, monkeypatch):
    """A signal while lanes train, or while their step is compiled: whoever is at work, the main thread hears of it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    monkeypatch.setattr("trimtab.tuning.pace.Pace.repays_compiling_planned", lambda *_, **__: "compiler" in during)
    x, y = load_diabetes(return_X_y=True)
    calls, place = [], f"trimtab.{during}"
    original = resolve_name(place)

    def interrupted(*arguments, **named):
        calls.append(arguments)
        if len(calls) == call:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return original(*arguments, **named)

    monkeypatch.setattr(place.replace(":", "."), interrupted)
    before = threads_and_folders()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # other libraries take it when they are imported
    try:
        with pytest.raises(KeyboardInterrupt):
            tt.TrimtabRegressor(trials=10_000, epochs=12, random_state=0).fit(x, y)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert call <= len(calls) < 1000
    assert threads_and_folders() == before
