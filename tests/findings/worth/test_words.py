"""Sentences about what choices were worth."""

from trimtab.findings.worth import words
from trimtab.findings.worth.account import Account, LearningCurve, Row, Stop

WINNER = {"words": "Adam", "config": {}, "error": 4.0, "score": 4.0}
LOSS = Row("loss", "mae", 0.5, 0.1, 0.9, "worse", 10, change={"loss": "mae"})
HALF = Row("rows", "half", 2.0, 1.0, 3.0, "worse", 10)


def account(*rows, **options):
    return Account({**WINNER, **options.pop("winner", {})}, "rmse", False, rows, **options)


def test_fewer_rows_are_no_choice_that_mattered_and_an_ensemble_is_judged_by_what_chose_it():
    single = Row("ensemble", "single network", 1.0, 0.5, 1.5, "worse", 100)
    assert words.mattered_most(account(HALF, single, LOSS)).startswith("What mattered most: loss mae would cost 0.5")
    assert "half of the rows would cost 2" in words.mattered_most(account(HALF))


def test_an_ensemble_that_nothing_was_trained_for_is_not_all_that_was_measured():
    single = Row("ensemble", "single network", 0.1, -0.5, 0.7, "alike", 100)
    told = words.mattered_most(account(single, Row("loss", "mae")))
    assert told.startswith("Only the ensemble was measured") and "one network alone " in told
    assert words.mattered_most(account(Row("loss", "mae"))).startswith("Nothing was measured")
    assert "1 other choice" in words.mattered_most(account(single)), "where nothing else is asked about"


def test_what_does_better_says_how_to_fit_so():
    better = Row("loss", "huber (delta 0.3)", -0.5, -0.9, -0.1, "better", 10, change={"loss": "huber", "delta": 0.3})
    assert words.mattered_most(account(better, LOSS)).endswith("; fit with --loss huber --delta 0.3.")


def test_each_value_has_a_name_that_a_reader_knows():
    assert words.instead(Row("inputs", "scaled")) == "scaled, no embedding"
    assert words.named("inputs", "scaled") == "inputs that are only scaled"
    assert words.named("rows", "quarter") == "a quarter of the rows"
    assert words.named("ensemble", "single network") == "one network alone"
    assert words.named("preparation", "target unscaled") == "the target in its own units"


def test_a_winner_that_is_solved_is_said_to_be():
    lines = words.worth_in_words(account(LOSS, winner={"instead_of": "a linear model"}))
    assert lines[0] == (
        "The winner is a linear model, which is solved and not trained: this is about the best network instead."
    )
    assert words.solved_in_words(account(LOSS)) == ""


def test_what_more_rows_would_bring_is_told_with_its_interval():
    steep = LearningCurve((100, 200, 400), tuple((4.0 + e, 3.0 + e, 2.25 + e) for e in (-0.02, 0.0, 0.03, 0.01)))
    assert words.amount_in_words(account(learning=steep)).startswith(
        "How many rows: rmse is 4.005 with 100 rows, 3.005 with 200 rows and 2.255 with 400 rows to train on; twice "
        "the most are expected to spare "
    )
    noise = LearningCurve((100, 200, 400), ((4.0, 3.0, 4.1), (3.0, 4.2, 3.1), (4.1, 3.9, 3.7)))
    assert "cannot be told" in words.amount_in_words(account(learning=noise))
    assert words.amount_in_words(account()) == ""


def test_folds_that_overlap_tell_less():
    lines = tuple((4.0 + e, 3.0 + e / 2, 2.25 + e / 3) for e in (-0.3, 0.1, 0.25, -0.05))
    apart, overlapping = (
        words.gain_of_more(account(learning=LearningCurve((100, 200, 400), lines, overlap))) for overlap in (0.0, 0.25)
    )
    assert overlapping.high - overlapping.low > 1.1 * (apart.high - apart.low)


def test_a_rule_that_saves_next_to_nothing_is_not_praised():
    whole = Stop("no stopping", 40.0, 30.0, 5.0)
    late, early = (Stop("patience 10", spent, 30.0, 5.0) for spent in (39.0, 20.0))
    assert "next to nothing" in words.stopping_in_words(account(stopping=(whole, late)))
    assert "patience 10 would have spent 20" in words.stopping_in_words(account(stopping=(whole, early)))
    assert words.stopping_in_words(account(stopping=(whole, early), stopping_folds=5)).startswith("How long: of 40")
    few = words.stopping_in_words(account(stopping=(whole, early), stopping_folds=2))
    assert few.startswith("How long (by 2 folds): of 40")


def test_what_was_not_reached_is_said():
    text = words.reach_in_words(account(LOSS, Row("lr", 0.1), lacks_path=True))
    assert text.endswith(
        "not reached yet: 1 choice, and the path from the default MLP. Explain with a --budget goes on."
    )
    assert (
        words.reach_in_words(account(LOSS))
        == "1 other choice was tried beside the winner, 1 of them told apart from it."
    )
    alike = Row("loss", "huber", 0.1, -0.2, 0.4, "alike", 10)
    said = words.reach_in_words(account(alike, HALF))
    assert said == "1 other choice was tried beside the winner, none of them told apart from it, besides fewer rows."


def test_where_nothing_was_measured_it_is_said_what_time_it_takes():
    said = words.unexplained_in_words(31.2, lambda budget: f"trimtab explain RUN --budget {budget}")
    assert "about 31 s" in said and said.endswith("trimtab explain RUN --budget 1m makes them.")
    assert "--budget 5m" in words.unexplained_in_words(200.0, lambda budget: f"--budget {budget}")
    assert "--budget 1h" in words.unexplained_in_words(1e5, lambda budget: f"--budget {budget}")
