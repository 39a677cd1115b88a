"""Remedies as flags: what a shell makes of them, and the command line of that, are the columns that were meant."""

import shlex

import pytest

from trimtab.cli.commands.app import columns_in
from trimtab.findings.remedies import in_shell, without

ODD = [
    "age",
    "a,b",
    ' "in quotes", he said',
    "net $PAY",
    "`id`",
    "back\\slash",
    "new!",
    "two\nlines",
    " spaced ",
    "it's",
    "",
]


@pytest.mark.parametrize("name", ODD)
def test_any_column_is_left_out_by_its_flag(name):
    option, text = shlex.split(without(name))
    assert option == "--drop" and columns_in([text]) == ([name] if name else [])


def test_several_columns_have_a_flag_each():
    assert without("age", "a,b") == """--drop "age" --drop '"a,b"'"""


def test_a_plain_word_is_in_double_quotes_and_any_other_says_the_same():
    assert in_shell("time:day") == '"time:day"'
    assert [shlex.split(in_shell(name)) for name in ODD] == [[name] for name in ODD]
