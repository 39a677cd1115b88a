"""Every sentence of a result says what stands in it."""

import pytest

from trimtab.tuning.verdicts import effort_in_words, ensemble_in_words, rows_in_words, verdicts


def gain(better_by, low, high):
    verdict = "better" if low > 0 else "worse" if high < 0 else "alike"
    return {"better_by": better_by, "interval": [low, high], "verdict": verdict}


def said(gains, metric="rmse", **news):
    return verdicts({"metric": metric, "gains": {"linear": gains}, "ensemble": [{"trial": 4, "name": ""}], **news})[0]


def test_a_verdict_for_each_baseline_with_every_metric_shown():
    better, alike, worse = gain(0.73, 0.39, 1.1), gain(0.02, -0.11, 0.15), gain(-0.5, -0.75, -0.25)
    assert said({"rmse": better}) == "Better than the linear model by 0.7300 [0.3900, 1.100] in rmse."
    assert said({"rmse": better, "mae": better}).endswith("by 0.7300 [0.3900, 1.100] in mae.")
    assert said({"rmse": alike, "mae": better}) == (
        "Cannot be told apart from the linear model in rmse (better by 0.02000 [-0.1100, 0.1500]); "
        "better than it by 0.7300 [0.3900, 1.100] in mae."
    )
    assert said({"rmse": worse}) == (
        "On these rows the linear model is better by 0.5000 [0.2500, 0.7500] in rmse: nothing was gained."
    )


def test_what_counts_is_said_first_and_nothing_was_gained_is_said_of_it_alone():
    better, worse = gain(0.73, 0.39, 1.1), gain(-0.5, -0.75, -0.25)
    text = said({"rmse": worse, "mae": better}, metric="mae")
    assert text.index("Better than the linear model") < text.index("it is better by 0.5000 [0.2500, 0.7500] in rmse")
    assert "nothing was gained" not in text


def test_a_difference_against_the_model_keeps_its_direction():
    text = said({"rmse": gain(-0.02, -0.15, 0.11)})
    assert "(worse by 0.02000 [-0.1100, 0.1500])" in text


def test_a_baseline_that_was_cut_short_is_no_more_than_that():
    text = said({"rmse": gain(0.73, 0.39, 1.1)}, cut={"linear": {"epochs": 14, "planned": 245}})
    assert text.endswith("[0.3900, 1.100] in rmse; the linear model had time for 14 of its 245 epochs.")


def test_too_few_rows_for_an_interval_give_no_verdict():
    text = said({"rmse": {"better_by": 0.5, "interval": None, "verdict": "unknown"}})
    assert text == "Cannot be compared with the linear model in rmse: these rows are too few."


def test_a_model_that_is_the_baseline_says_so():
    text = said({"rmse": gain(0.0, -0.0, 0.0)}, ensemble=[{"trial": 1, "name": "linear", "share": 1.0}])
    assert text == "The model is the linear model itself: no trial of the search was better."


def test_a_baseline_is_the_model_where_no_trial_was_better_or_none_was_finished():
    members = [{"trial": 1, "name": "linear", "share": 1.0}]
    text = said({"rmse": gain(0.0, -0.0, 0.0)}, ensemble=members, finished=0)
    assert text == "The model is the linear model itself: no trial of the search was finished."
    assert "was better" in said({"rmse": gain(0.0, -0.0, 0.0)}, ensemble=members, finished=3)


def test_what_cannot_be_compared_is_said_with_its_reason():
    few, none = ({"better_by": by, "interval": None, "verdict": "unknown"} for by in (0.5, None))
    text = said({"rmse": few}, interval_units={"of": "groups", "count": 1})
    assert text == "Cannot be compared with the linear model in rmse: there are too few groups."
    text = said({"log_loss": gain(0.73, 0.39, 1.1), "roc_auc": none}, metric="log_loss")
    assert text == (
        "Better than the linear model by 0.7300 [0.3900, 1.100] in log_loss; cannot be compared with it in roc_auc: "
        "it has no value on these rows."
    )


@pytest.mark.parametrize(
    ("members", "winner", "words"),
    [
        ([(7, "", 1.0)], 7, ""),
        ([(9, "", 0.5), (7, "", 0.3), (2, "default_mlp", 0.2)], 7,
         "The model is a weighted mean of 3 trials: trial 9 (50 %), trial 7 (30 %) and the default MLP (20 %). "
         "The best config is trial 7."),
        ([(1, "linear", 0.6), (5, "", 0.4)], 1,
         "The model is a weighted mean of 2 trials: the linear model (60 %) and trial 5 (40 %). "
         "The best config is the linear model."),
        ([(4, "", 0.5), (5, "", 0.5)], 8,
         "The model is a weighted mean of 2 trials: trial 4 (50 %) and trial 5 (50 %). "
         "The best config, trial 8, is not among them."),
    ],
)  # fmt: skip
def test_who_is_in_the_ensemble(members, winner, words):
    ensemble = [{"trial": trial, "name": name, "share": share} for trial, name, share in members]
    assert ensemble_in_words({"ensemble": ensemble, "winner": winner}) == words


@pytest.mark.parametrize(
    ("news", "words"),
    [
        ({}, "586 test rows, used once"),
        ({"test_uses": 3}, "586 test rows, used 3 times, once in each call that ended"),
        ({"interval_units": {"of": "groups", "count": 12}}, "586 test rows, used once; intervals over 12 groups"),
        (
            {"interval_units": {"of": "stretches of time", "count": 1}},
            "586 test rows, used once; without intervals, since all are of one stretch of time",
        ),
        ({"test": None, "judged": 40}, "40 rows out of fold: no test part was set aside"),
        (
            {"figures_of": "before refit"},
            "586 test rows, used once; the figures are those of the model before it was trained once more on all rows",
        ),
        (
            {"test": None, "judged": 40, "figures_of": "folds"},
            "40 rows out of fold: no test part was set aside; the "
            "figures are those of the folds' networks, and the model was trained once more on all rows",
        ),
    ],
)
def test_which_rows_the_figures_are_of(news, words):
    assert rows_in_words({"test": {"rmse": 1.0}, "rows": {"test": 586}, **news}) == words


@pytest.mark.parametrize(
    ("news", "words"),
    [
        ({}, "1 trial, 5 runs in 44 s"),
        ({"calls": 2, "seconds_in_all": 104.2}, "1 trial, 5 runs in 104 s, 2 calls"),
        ({"calls": 3, "seconds_in_all": 80.0, "cut_off": 1}, "1 trial, 5 runs in 80 s and 1 call that was cut off"),
    ],
)
def test_how_much_was_done_in_how_long(news, words):
    assert effort_in_words({"trials": 1, "runs": 5, "seconds": 44.2, **news}) == words
