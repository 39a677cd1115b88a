"""Splits: nothing on two sides, every class in proportion, time in order, groups whole, and the same next time."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import DataError, OptionError
from trimtab.table.folds import folds_frame
from trimtab.table.prepare import prepare
from trimtab.table.schema import infer_schema
from trimtab.table.split import Split, SplitRule, duplicates, plan_split


def frame_of(rows, seed=0, **columns):
    generator = np.random.default_rng(seed)
    return pl.DataFrame({"x": generator.normal(size=rows), "y": generator.normal(size=rows), **columns})


def plan(frame, split="random", share: float | None = 0.2, seed=0, targets=("y",), task="auto"):
    rule = SplitRule.parse(split)
    schema = infer_schema(frame, targets=targets, task=task, reserved=rule.reserved)
    return plan_split(frame, schema, rule=rule, share=share, seed=seed)


def check(split, rows):
    """What holds for every split of `rows` rows whose column is not the user's own."""
    test = set(split.test.tolist())
    development = set(range(rows)) - test
    for train, valid in split.folds:
        assert len(train)
        assert len(valid)
        assert not set(train.tolist()) & set(valid.tolist())
        assert set(train.tolist()) | set(valid.tolist()) <= development
        assert len(set(train.tolist())) == len(train)
    assert set().union(*(set(train.tolist()) | set(valid.tolist()) for train, valid in split.folds)) == development


@pytest.mark.parametrize(
    ("rows", "folds"), [(10, 8), (57, 10), (370, 10), (380, 5), (1000, 5), (6250, 5), (6260, 1), (20_000, 1)]
)
def test_random_splits_have_folds_up_to_5000_rows_and_one_validation_part_above(rows, folds):
    split = plan(frame_of(rows))
    check(split, rows)
    assert len(split.folds) == folds
    assert len(split.test) == pytest.approx(0.2 * rows, abs=2)
    if folds == 1:
        assert len(split.folds[0][1]) == pytest.approx(0.16 * rows, abs=2)
    else:
        assert sum(len(valid) for _, valid in split.folds) == rows - len(split.test)


def test_the_validation_part_of_a_large_table_is_bounded():
    split = plan(frame_of(200_000))
    assert len(split.folds[0][1]) == pytest.approx(10_000, abs=20)


def test_classes_are_in_proportion_everywhere():
    frame = frame_of(1000).with_columns(y=pl.Series(["a"] * 900 + ["b"] * 75 + ["c"] * 25))
    split = plan(frame)
    labels = frame["y"].to_numpy()
    for part, rows in [(split.test, 0.2), *((valid, 0.16) for _, valid in split.folds)]:
        for label, count in (("a", 900), ("b", 75), ("c", 25)):
            assert (labels[part] == label).sum() == pytest.approx(rows * count, abs=2)


def test_quantiles_of_the_target_are_in_proportion_everywhere():
    frame = frame_of(1000).with_columns(y=np.exp(3 * pl.col("y")))
    split = plan(frame)
    ranks = frame["y"].rank().to_numpy()
    for part, rows in [(split.test, 200), *((valid, 160) for _, valid in split.folds)]:
        assert (ranks[part] > 900).sum() == pytest.approx(rows / 10, abs=3)
        assert (ranks[part] <= 100).sum() == pytest.approx(rows / 10, abs=3)


def test_a_class_with_a_single_row_always_trains_and_is_said():
    frame = frame_of(200).with_columns(y=pl.Series(["a", "b"] * 99 + ["a", "rare"]))
    for seed in range(5):
        split = plan(frame, seed=seed)
        assert all(199 in train for train, _ in split.folds)
        assert any("single row" in notice for notice in split.notices)


@pytest.mark.parametrize("rare", [2, 3, 4])
@pytest.mark.parametrize("others", [["a"], ["a", "b"], ["a", "b", "also rare"]])
def test_a_class_with_fewer_rows_than_folds_takes_no_fold_from_the_others(rare, others):
    labels = np.array(([*others[:2]] * 400)[: 400 - 2 * rare] + ["rare"] * rare + [others[-1]] * rare)
    split = plan(frame_of(400).with_columns(y=pl.Series(labels)), share=None)
    check(split, 400)
    assert len(split.folds) == 5
    for label in set(labels):
        assert all(label in labels[train] for train, _ in split.folds)
        judged = [(labels[valid] == label).sum() for _, valid in split.folds]
        assert sum(judged) == (labels == label).sum()
        assert max(judged) - min(judged) <= 1
    (said,) = [notice for notice in split.notices if "only" in notice]
    assert f"validated in {rare} of the 5 folds" in said
    assert said.startswith("2 classes have" if "also rare" in others else "1 class has")


@pytest.mark.parametrize("rows", [300, 6_000])
def test_a_group_that_holds_a_whole_class_always_trains(rows):
    groups = np.arange(rows) % 12
    labels = np.where(groups == 7, "only here", np.where(np.arange(rows) % 5 < 2, "a", "b"))
    split = plan(frame_of(rows, who=groups).with_columns(y=pl.Series(labels)), "group:who", share=None)
    check(split, rows)
    assert all("only here" in labels[train] and "only here" not in labels[valid] for train, valid in split.folds)
    assert "1 group holds every row of a class: it always trains and is never validated." in split.notices


def test_every_class_of_the_test_part_trains():
    frame = frame_of(300).with_columns(y=pl.Series([f"class {i // 2}" for i in range(300)]))
    labels = frame["y"].to_numpy()
    split = plan(frame, share=0.4)
    train = np.concatenate([train for train, _ in split.folds])
    assert set(labels[split.test]) <= set(labels[train])


def test_copies_of_a_row_are_never_on_both_sides():
    frame = frame_of(100)[np.random.default_rng(1).integers(0, 100, 1500)]
    schema = infer_schema(frame, targets=["y"])
    copies = duplicates(frame, schema)
    for share in (0.2, None):
        split = plan(frame, share=share)
        check(split, 1500)
        for train, valid in split.folds:
            assert not set(copies[train]) & set(copies[valid])
            assert not set(copies[split.test]) & set(copies[np.concatenate([train, valid])])


def test_a_running_number_does_not_hide_copies():
    frame = frame_of(50)[np.arange(200) % 50].with_row_index("number")
    assert len(set(duplicates(frame, infer_schema(frame, targets=["y"])))) == 50


def test_one_row_repeated_a_thousand_times_leaves_the_shares_as_asked():
    frame = pl.concat([frame_of(1000), frame_of(1)[np.zeros(1000, dtype=int)]])
    frame = frame.with_columns(
        y=pl.when(pl.int_range(2000) % 10 < 3, pl.int_range(2000) < 1000).then(pl.lit("b")).otherwise(pl.lit("a"))
    )
    split = plan(frame)
    assert (frame["y"].to_numpy()[split.test] == "a").sum() == pytest.approx(340, abs=5)
    assert (frame["y"].to_numpy()[split.test] == "b").sum() == pytest.approx(60, abs=5)


def test_the_latest_rows_test_and_every_fold_looks_back():
    generator = np.random.default_rng(0)
    times = generator.permutation(np.repeat(np.arange(300), 3))
    split = plan(frame_of(900, when=times), "time:when")
    check(split, 900)
    assert len(split.folds) == 5
    assert len(split.test) == pytest.approx(180, abs=3)
    latest = -1
    for train, valid in split.folds:
        assert times[train].max() < times[valid].min()
        assert len(train) > latest
        latest = len(train)
    assert times[split.folds[-1][1]].max() < times[split.test].min()


def test_time_splits_of_large_tables_have_one_validation_part_the_latest():
    times = np.random.default_rng(0).normal(size=20_000)
    split = plan(frame_of(20_000, when=times), "time:when")
    (train, valid), test = split.folds[0], split.test
    assert times[train].max() < times[valid].min() <= times[valid].max() < times[test].min()


def test_rows_without_a_time_are_the_earliest_and_counted():
    times = [None] * 5 + list(range(95))
    split = plan(frame_of(100).with_columns(when=pl.Series(times)), "time:when")
    assert any("5 rows have no time" in notice for notice in split.notices)
    assert all(set(range(5)) <= set(train.tolist()) for train, _ in split.folds)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("rows", [600, 9000])
def test_groups_are_whole(task, rows):
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 40, rows)
    frame = frame_of(rows, who=pl.Series(groups).cast(pl.String))
    if task == "classification":
        frame = frame.with_columns(y=pl.Series(generator.integers(0, 3, rows)).cast(pl.String))
    split = plan(frame, "group:who")
    check(split, rows)
    assert len(split.test) == pytest.approx(0.2 * rows, rel=0.3)
    assert len(split.folds) == (5 if rows == 600 else 1)
    for train, valid in split.folds:
        assert not set(groups[train]) & set(groups[valid])
        assert not set(groups[split.test]) & set(groups[np.concatenate([train, valid])])


def test_the_column_of_groups_is_no_feature_and_the_column_of_time_is():
    frame = frame_of(100, who=[f"g{i % 9}" for i in range(100)], when=np.arange(100) ** 2)
    assert "who" not in prepare(frame, target="y", split="group:who").encoder.names
    assert "when" in prepare(frame, target="y", split="time:when").encoder.names


def test_few_groups_mean_fewer_folds_and_are_said():
    split = plan(frame_of(90, who=[f"g{i % 4}" for i in range(90)]), "group:who")
    assert len(split.folds) == 3
    assert any("3 folds instead of 5" in notice for notice in split.notices)


def test_a_column_of_parts_is_followed():
    parts = (["train"] * 6 + ["valid"] * 2 + ["test"] * 2) * 10
    frame = frame_of(100, part=[part.upper() for part in parts])
    prepared = prepare(frame, target="y", split="part")
    assert prepared.counts.test == 20
    assert [len(rows) for rows in prepared.folds[0]] == [60, 20]
    assert "part" not in prepared.encoder.names
    rows = prepared.development_rows
    assert {parts[i] for i in rows[prepared.folds[0][0]]} == {"train"}
    assert {parts[i] for i in rows[prepared.folds[0][1]]} == {"valid"}


def test_a_column_of_parts_without_valid_rows_is_cross_validated_within_train():
    prepared = prepare(frame_of(100, part=["train"] * 80 + ["test"] * 20), target="y", split="part")
    assert len(prepared.folds) == 10
    assert prepared.counts.test == 20


def test_three_frames():
    parts = [frame_of(rows, seed=rows) for rows in (60, 20, 30)]
    prepared = prepare(tuple(parts), target="y")
    assert prepared.test is not None
    assert prepared.test["x"].to_list() == parts[2]["x"].to_list()
    train, valid = prepared.folds[0]
    assert prepared.development["x"].gather(train).to_list() == parts[0]["x"].to_list()
    assert prepared.development["x"].gather(valid).to_list() == parts[1]["x"].to_list()
    assert prepare((parts[0], parts[1], None), target="y").test is None


def test_copies_across_parts_that_the_user_drew_are_counted():
    frame = frame_of(50)
    prepared = prepare(frame, target="y", test=frame.head(7))
    assert any("7 of the 7 test rows are exact copies" in notice for notice in prepared.notices)


def test_the_same_seed_gives_the_same_split_and_another_gives_another():
    frame = frame_of(300)
    again = [plan(frame, seed=seed).test.tolist() for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_a_time_under_a_random_split_is_said():
    frame = frame_of(60).with_columns(when=pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29), eager=True))
    assert any("--split time:when" in notice for notice in prepare(frame, target="y").notices)
    assert not any("--split" in notice for notice in prepare(frame, target="y", split="time:when").notices)


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 4), min_size=8, max_size=60),
    st.lists(st.integers(0, 3), min_size=60, max_size=60),
    st.floats(0.05, 0.95),
    st.sampled_from(["random", "time:x", "group:x"]),
    st.integers(0, 5),
)
def test_whatever_the_rows_no_copy_is_on_both_sides(labels, values, share, split, seed):
    from trimtab.errors import DataError

    frame = pl.DataFrame(
        {"x": values[: len(labels)], "z": np.arange(len(labels)) % 7 * 1.5, "y": [f"c{i}" for i in labels]}
    )
    try:
        found = plan(frame, split, share=share, seed=seed)
    except DataError:
        return
    check(found, len(labels))
    rows = frame.rows()
    for train, valid in found.folds:
        assert not {rows[i] for i in train} & {rows[i] for i in valid}
        assert not {rows[i] for i in found.test} & {rows[i] for i in np.concatenate([train, valid])}


def given(*pairs):
    return Split("given", tuple((np.asarray(train), np.asarray(valid)) for train, valid in pairs), np.zeros(0, int))


def test_the_latest_fold_is_known_where_folds_go_forward():
    assert plan(frame_of(100, t=np.arange(100)), "time:t").latest == 4
    assert plan(frame_of(9_000, t=np.arange(9_000)), "time:t").latest == 0
    growing = given(([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5]), (range(6), [6, 7]))
    sliding = given(([2, 3], [4, 5]), ([0, 1], [2, 3]), ([4, 5], [6]))
    by_another_order = given(([7, 1], [0, 3]), ([7, 1, 0, 3], [5, 2]))
    assert (growing.latest, sliding.latest, by_another_order.latest) == (2, 2, 1)


def test_other_folds_have_no_latest():
    assert plan(frame_of(100)).latest is None
    assert plan(frame_of(100, g=np.arange(100) // 10), "group:g").latest is None
    assert plan(frame_of(60, part=["train"] * 40 + ["valid"] * 10 + ["test"] * 10), "part").latest is None
    assert given((range(3), [3, 4]), ([2, 3, 4], [0, 1])).latest is None
    assert given((range(3), [3, 4]), (range(3), [5, 6])).latest == 0
    assert given((range(3), [3, 4])).latest is None


def hard_to_split(rows=240):
    """Copies, a running number, rare labels, few groups, weights of 0: all that a split looks at."""
    generator = np.random.default_rng(5)
    frame = pl.DataFrame(
        {
            "id": np.arange(rows),
            "a": generator.integers(0, 6, rows),
            "b": generator.integers(0, 4, rows) * 0.5,
            "who": [f"g{i}" for i in generator.integers(0, 25, rows)],
            "when": generator.integers(0, 90, rows),
            "weight": generator.integers(0, 3, rows),
            "part": generator.choice(["train", "train", "valid", "test"], rows),
        }
    )
    return frame.with_columns(
        price=pl.col("a") * 1.0 + generator.normal(size=rows), count=pl.col("a"), kind=pl.format("k{}", "a")
    )


OTHER_OPTIONS = (
    {"drop": ["id"]}, {"drop": ["a", "b"]}, {"number": ["id"]}, {"category": ["id", "a"]}, {"weight": "weight"},
    {"weight": "b"}, {"minimum_rows": 1},
)  # fmt: skip


@pytest.mark.parametrize("split", ["random", "group:who", "time:when", "part"])
@pytest.mark.parametrize("target", ["price", "count", "kind"])
def test_no_other_option_moves_a_row_between_test_and_development(split, target):
    frame = hard_to_split()
    plain = prepare(frame, target=target, split=split)
    assert len(plain.test_rows) > 20
    tasks = {"price": ["regression"], "count": ["regression", "classification"], "kind": ["classification"]}
    for options in (*OTHER_OPTIONS, *({"task": task} for task in tasks[target])):
        other = prepare(frame, target=target, split=split, **options)
        assert set(other.test_rows) <= set(plain.test_rows), options
        assert set(other.development_rows) <= set(plain.development_rows), options
        if not options.get("weight"):
            assert list(other.test_rows) == list(plain.test_rows), options


def test_numbers_that_are_labels_test_the_same_rows_as_numbers():
    frame = frame_of(400, size=np.arange(400) % 7 * 0.5, level=np.arange(400) % 31)
    for target in ("size", "level"):
        parts = [
            prepare(frame, target=target, task=task).test_rows.tolist() for task in ("regression", "classification")
        ]
        assert parts[0] == parts[1]
    sizes = frame["size"].to_numpy()[prepare(frame, target="size", task="classification").test_rows]
    assert min(np.unique(sizes, return_counts=True)[1]) >= 10


def test_a_test_part_without_weight_leaves_no_test_and_says_so():
    frame = frame_of(40, when=np.arange(40), w=[1.0] * 30 + [0.0] * 10)
    prepared = prepare(frame, target="y", split="time:when", weight="w")
    assert prepared.test is None and any("weight 0: there is no test score" in text for text in prepared.notices)


def test_rows_that_are_no_evidence_of_their_own_are_one_unit():
    frame = hard_to_split().drop("id")
    grouped = prepare(frame, target="price", split="group:who")
    assert grouped.test is not None
    for rows, units in ((grouped.development, grouped.units), (grouped.test, grouped.test_units)):
        pairs = set(zip(rows["who"], units, strict=True))
        assert len(pairs) == rows["who"].n_unique() == len(set(units))
    timed = prepare(frame, target="price", split="time:when")
    times = timed.development["when"].to_numpy()
    ends = sorted((times[timed.units == unit].min(), times[timed.units == unit].max()) for unit in set(timed.units))
    assert 15 < len(ends) < 60
    assert all(before[1] < after[0] for before, after in pairwise(ends))
    copied = prepare(frame_of(50)[np.arange(150) % 50], target="y", test=frame_of(50)[np.arange(20) % 10])
    assert len(set(copied.units)) == 50 and len(set(copied.test_units)) == 10


def timed(column, **columns):
    return pl.DataFrame({"t": column, "x": np.sin(np.arange(len(column))), **columns})


ORDER = np.random.default_rng(0).permutation(60)


@pytest.mark.parametrize("text", ["time:t", " time:t", "time: t", "time : t ", "time:\tt"])
def test_blanks_in_a_rule_mean_nothing_unless_they_are_in_the_name(text):
    assert SplitRule.parse(text).of_table(["t", "x"]) == SplitRule("time", "t")
    assert SplitRule.parse("time: t").of_table([" t", "t"]) == SplitRule("time", " t")
    assert SplitRule.parse(" random ") == SplitRule("random")
    with pytest.raises(OptionError, match="names no column"):
        SplitRule.parse("group: ")


@pytest.mark.parametrize(
    ("column", "role"), [(np.arange(60), "identifier"), (ORDER, "identifier"), (ORDER**2, "number")]
)
def test_a_counter_splits_by_time_and_is_a_feature_only_where_it_says_more_than_the_order(column, role):
    prepared = prepare(timed(column, y=np.cos(np.arange(60))), target="y", split="time:t")
    assert prepared.schema.columns[0].role == role
    assert prepared.test_rows.tolist() == sorted(np.argsort(column)[-12:].tolist())
    if role == "number":
        assert "the time that the rows are split by" in prepared.schema.columns[0].reason


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("us"), pl.Time, pl.Duration("us")], ids=str)
def test_moments_are_a_target_beside_a_column_of_whole_numbers(dtype):
    frame = frame_of(60, y=pl.Series(np.arange(60) % 3).cast(dtype), count=np.arange(60) ** 2)
    assert prepare(frame, target="y", task="classification").target_encoder.outputs == 3


@pytest.mark.parametrize("test", ["none", 0.2])
def test_classes_of_one_row_each_are_said_to_be_so(test):
    frame = frame_of(60, y=[f"class {i}" for i in range(60)])
    with pytest.raises(DataError, match=r"There are 60 different rows.* none can be held out"):
        prepare(frame, target="y", test=test)


def test_folds_are_told_row_by_row_in_the_rows_of_the_table():
    folds = [(np.array([0, 1]), np.array([2])), (np.array([1, 2]), np.array([0]))]
    told = folds_frame(folds, np.array([3, 5, 8]))
    assert told.rows() == [(3, 1, "train"), (5, 1, "train"), (8, 1, "valid"), (5, 2, "train"), (8, 2, "train"),
                           (3, 2, "valid")]  # fmt: skip


def test_predictions_have_bounds_but_where_later_rows_are_to_be_predicted():
    frame = frame_of(100, when=list(range(100)))
    for split, is_bounded in (("random", True), ("time:when", False), (5, True)):
        target = prepare(frame, target="y", split=split, test="none").target_encoder
        assert bool(target.low) == bool(target.high) == is_bounded
