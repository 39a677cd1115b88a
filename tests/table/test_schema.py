"""Roles and tasks by the written rules, with their reasons, and the user's word before every rule."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from trimtab.table.cells import settle_types
from trimtab.table.schema import infer_schema
from trimtab.table.task import choose_task

ROWS = 200
SEQUENCE = list(range(ROWS))
GENERATOR = np.random.default_rng(0)
UNIQUE = GENERATOR.permutation(10 * ROWS)[:ROWS].tolist()


def schema_of(task="auto", rows=ROWS, **columns):
    frame = pl.DataFrame(
        {"feature": GENERATOR.normal(size=rows), **columns, "y": GENERATOR.normal(size=rows)}, strict=False
    )
    frame, formats = settle_types(frame)
    return infer_schema(frame, targets=["y"], task=task, formats=formats)


def role_of(values, name="column"):
    return next(column for column in schema_of(**{name: values}).columns if column.name == name).role


@pytest.mark.parametrize(
    ("values", "role"),
    [
        (GENERATOR.normal(size=ROWS), "number"),
        ([i % 3 for i in SEQUENCE], "number"),
        ([i % 2 for i in SEQUENCE], "number"),
        (UNIQUE, "identifier"),
        ([f"{i / 7:.3f}" for i in SEQUENCE], "number"),
        ([("1", "2.5", "NA", "?", "-", "none", "N/A", "nan", "null", "")[i % 10] for i in SEQUENCE], "number"),
        ([timedelta(hours=i) for i in SEQUENCE], "number"),
        (["yes", "no"] * 100, "category"),
        (["none", "minor"] * 100, "category"),
        (["'-1'", "'1'"] * 100, "category"),
        ([("007", "042", "100")[i % 3] for i in SEQUENCE], "category"),
        ([f"zone {i % 90}" for i in SEQUENCE], "category"),
        (["only", None] * 100, "category"),
        ([True, False] * 100, "boolean"),
        (["True", "FALSE"] * 100, "boolean"),
        ([date(2024, 1, 1) + timedelta(days=i) for i in SEQUENCE], "date-time"),
        ([str(date(2024, 1, 1) + timedelta(days=i)) for i in SEQUENCE], "date-time"),
        (["17/03/2024", "NA"] * 100, "date-time"),
        ([f"{i:05d}X" for i in SEQUENCE], "identifier"),
        ([f"name {i % 120}" for i in SEQUENCE], "identifier"),
        (SEQUENCE, "identifier"),
        ([i + 1000 for i in SEQUENCE], "identifier"),
        ([f"The {i}th remark, long enough to be read as text by anyone" for i in SEQUENCE], "text"),
        ([[1, 2]] * ROWS, "text"),
        ([5] * ROWS, "constant"),
        (["same"] * ROWS, "constant"),
        ([None] * ROWS, "constant"),
        (["NA", ""] * 100, "constant"),
        ([float("nan")] * ROWS, "constant"),
    ],
)
def test_the_role_of_a_column(values, role):
    assert role_of(values) == role


@pytest.mark.parametrize("name", ["id", "ID", "user_id", "customerId", "row key", "uuid"])
def test_unique_whole_numbers_with_the_name_of_an_identifier(name):
    assert role_of(UNIQUE, name) == "identifier"


def test_unique_whole_numbers_are_identifiers_whatever_their_name():
    schema = schema_of(member=UNIQUE)
    (column,) = schema.with_role("identifier")
    assert column.reason == "a different whole number in every row, unrelated to the target"
    assert any("--number member" in notice for notice in schema.notices)


def _noisy(signal):
    return np.asarray(signal, dtype=float) + np.random.default_rng(1).normal(size=ROWS) * np.std(signal)


@pytest.mark.parametrize(
    "target",
    [
        _noisy(UNIQUE),
        -_noisy(UNIQUE),
        np.exp(_noisy(UNIQUE) / 500),
        _noisy(np.abs(np.array(UNIQUE) - 1000)),
        [("low", "high")[value > 1200] for value in UNIQUE],
        [("left", "middle", "right")[value // 700 % 3] for value in UNIQUE],
        [value > 500 for value in UNIQUE],
    ],
)
def test_unique_whole_numbers_that_order_the_target_are_numbers(target):
    schema = infer_schema(pl.DataFrame({"area": UNIQUE, "y": target}), targets=["y"])
    assert schema.rows()[0] == ("area", "number", "a different whole number in every row, related to the target")


def test_identifiers_are_seldom_taken_for_numbers():
    generator = np.random.default_rng(2)
    kept = 0
    for _ in range(200):
        numbers = generator.permutation(10 * ROWS)[:ROWS]
        frame = pl.DataFrame({"code": numbers, "x": 0.5, "y": generator.normal(size=ROWS)})
        kept += infer_schema(frame, targets=["y"], number=["x"]).columns[0].role == "number"
    assert kept <= 10


def test_a_whole_number_that_some_rows_share_or_lack_is_a_number():
    shared = [UNIQUE[1], *UNIQUE[1:]]
    assert role_of(shared) == "number"
    assert role_of([None, *UNIQUE[1:]]) == "number"
    assert role_of([value + 0.5 for value in UNIQUE]) == "number"


def test_what_is_left_out_is_said_with_the_way_to_keep_it():
    schema = schema_of(name=[f"name {i}" for i in SEQUENCE], same=[1] * ROWS)
    assert [column.name for column in schema.features] == ["feature"]
    assert any('"name" is left out' in notice and "--category name" in notice for notice in schema.notices)
    assert any('"same" is left out' in notice for notice in schema.notices)


def test_a_sequence_that_is_the_only_column_is_what_the_table_is_about():
    schema = infer_schema(pl.DataFrame({"x": SEQUENCE, "y": GENERATOR.normal(size=ROWS)}), targets=["y"])
    assert [column.role for column in schema.columns] == ["number", "target"]


def test_the_word_of_the_user_wins():
    frame = pl.DataFrame(
        {
            "name": [f"name {i}" for i in SEQUENCE],
            "rooms": [i % 4 for i in SEQUENCE],
            "id": SEQUENCE,
            "w": 1.0,
            "y": SEQUENCE,
            "z": 0.5,
        }
    )
    schema = infer_schema(frame, targets=["y"], category=["name", "rooms"], number=["id"], drop=["z"], weight="w")
    assert schema.rows() == [
        ("name", "category", "--category"),
        ("rooms", "category", "--category"),
        ("id", "number", "--number"),
        ("w", "weight", "--weight"),
        ("y", "target", "regression"),
        ("z", "dropped", "--drop"),
    ]


def test_missing_and_distinct_values_are_counted():
    column = schema_of(gaps=[1.0, None, float("nan"), float("inf"), 2.0] * 40).columns[1]
    assert (column.missing, column.distinct) == (120, 2)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 100, "classification"),
        ([True, False] * 100, "classification"),
        ([0, 1] * 100, "classification"),
        ([1, 2, 3, 5, 6, 7, 1, 1] * 25, "classification"),
        ([1.0, 2.0] * 100, "classification"),
        ([0.5, 1.5] * 100, "regression"),
        ([i % 21 for i in SEQUENCE], "regression"),
        ([i % 20 for i in SEQUENCE], "classification"),
        (SEQUENCE, "regression"),
        ([1, 2, 3], "regression"),
        ([0, 1, 1], "classification"),
        (GENERATOR.normal(size=ROWS), "regression"),
    ],
)
def test_the_task_follows_from_the_target(values, task):
    choice = choose_task(pl.DataFrame({"y": values}), ["y"])
    assert choice.task == task
    assert '"y" holds' in choice.reason


def test_the_reason_says_how_to_change_the_task():
    assert "--task regression" in choose_task(pl.DataFrame({"y": [0, 1] * 50}), ["y"]).reason
    assert "--task classification" in choose_task(pl.DataFrame({"y": SEQUENCE}), ["y"]).reason
