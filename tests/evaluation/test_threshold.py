"""A threshold is the best there is on validation rows, and is refused where it decides nothing."""

from pathlib import Path

import numpy
import polars
import pytest
from sklearn import metrics as sklearn_metrics

import trimtab as tt
from trimtab.evaluation.threshold import CHOSEN_BY, best_threshold, threshold_of
from trimtab.table.target import TargetEncoder

TWO = TargetEncoder(task="classification", names=("kind",), classes=("no", "yes"), labels=("no", "yes"))
THREE = TargetEncoder(task="classification", names=("k",), classes=("a", "b", "c"), labels=("a", "b", "c"))
NUMBER = TargetEncoder(task="regression", names=("y",), mean=(0.0,), scale=(1.0,))


def drawn(seed: int, rows: int = 60) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    generator = numpy.random.default_rng(seed)
    truth = (generator.uniform(size=rows) < 0.25).astype(int)
    chance = numpy.clip(0.2 * truth + generator.uniform(0, 0.6, rows), 0, 1).round(2)
    return truth, chance, generator.integers(1, 4, rows).astype(float)


SCORES = {
    "f1": sklearn_metrics.f1_score,
    "accuracy": sklearn_metrics.accuracy_score,
    "balanced_accuracy": sklearn_metrics.balanced_accuracy_score,
}


@pytest.mark.parametrize("name", CHOSEN_BY)
@pytest.mark.parametrize("seed", range(4))
def test_no_other_threshold_scores_better(name: str, seed: int) -> None:
    truth, chance, weights = drawn(seed)

    def score(value: float) -> float:
        return SCORES[name](truth, (chance >= value).astype(int), sample_weight=weights)

    chosen = best_threshold(name, truth, chance, weights)
    assert 0 < chosen < 1
    assert chosen not in chance
    assert score(chosen) == pytest.approx(max(score(value) for value in [0.0, *numpy.unique(chance), 1.01]))


def test_among_thresholds_alike_the_nearest_to_a_half_is_taken() -> None:
    truth, chance = numpy.array([0, 0, 1, 1]), numpy.array([0.1, 0.2, 0.9, 0.95])
    assert best_threshold("f1", truth, chance, numpy.ones(4)) == pytest.approx(0.55)


def kept(folder: Path, rows: int = 60) -> Path:
    truth, chance, _ = drawn(0, rows)
    part = ["validation"] * (rows - 10) + ["test"] * 10
    labels = ["yes" if one else "no" for one in truth]
    polars.DataFrame(
        {"row": range(rows), "part": part, "truth": labels, "prediction": labels, "probability_no": 1 - chance,
         "probability_yes": chance}
    ).write_parquet(folder / "predictions.parquet")  # fmt: skip
    return folder


def test_it_is_chosen_on_the_validation_rows_of_the_study_alone(tmp_path: Path) -> None:
    truth, chance, _ = (array[:50] for array in drawn(0))
    found = threshold_of("f1", TWO, kept(tmp_path))
    assert found.value == best_threshold("f1", truth, chance, numpy.ones(50))
    assert (found.positive, found.reason) == ("yes", "the best for f1 on 50 validation rows")
    assert threshold_of("0.3", TWO, None).value == 0.3


@pytest.mark.parametrize(
    ("given", "target", "words"),
    [
        (0.3, NUMBER, "numbers are predicted"),
        ("f1", THREE, "3 classes are predicted"),
        (1.5, TWO, "not a probability"),
        (float("nan"), TWO, "not a probability"),
        ("f2", TWO, "Choose one of: a number between 0 and 1, f1"),
        (True, TWO, "threshold"),
        ("f1", TWO, "name the study's folder"),
    ],
)
def test_what_decides_nothing_is_refused(given: object, target: TargetEncoder, words: str) -> None:
    with pytest.raises(tt.TrimtabError, match=words):
        threshold_of(given, target, None)


def test_a_study_without_predictions_or_of_one_class_is_said(tmp_path: Path) -> None:
    with pytest.raises(tt.StudyError, match=r"predictions\.parquet"):
        threshold_of("f1", TWO, tmp_path)
    folder = kept(tmp_path)
    file = folder / "predictions.parquet"
    polars.read_parquet(file).with_columns(truth=polars.lit("no")).write_parquet(file)
    with pytest.raises(tt.DataError, match="one class only"):
        threshold_of("f1", TWO, folder)
