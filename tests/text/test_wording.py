import pytest

from trimtab.text.wording import counted, listed, sentence, with_article


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2, ("row",), "2 rows"),
        (12_345, ("row",), "12,345 rows"),
        (1, ("row has", "rows have"), "1 row has"),
        (3, ("row has", "rows have"), "3 rows have"),
        (2, ("class", "classes"), "2 classes"),
    ],
)
def test_numbers_with_what_they_count(number, nouns, text):
    assert counted(number, *nouns) == text


@pytest.mark.parametrize(
    "text",
    ["an Adam", "an optimizer", "a loss", "a unit", "an unknown knob", "an MLP", "an RMSprop", "a useful column",
     "an SGD", "a DataLoader", "an LSTM", "a Huber loss", "an 8-bit column", "a GRU", 'an "age" column', "an 11th",
     "a uniform draw", "an int", "a 1-D tensor", "a NumPy array", "a list"],
)  # fmt: skip
def test_articles_go_by_how_a_word_is_spoken(text):
    article, words = text.split(" ", 1)
    assert with_article(words) == f"{article} {words}"


def test_lists():
    assert [listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed([1, 2], last="or") == "1 or 2"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Give more rows", "Give more rows."),
        ("Give more rows.", "Give more rows."),
        ("Give more rows..", "Give more rows."),
        ('Did you mean "new.csv"?', 'Did you mean "new.csv"?'),
        ('Did you mean "new.csv"?.', 'Did you mean "new.csv"?'),
        ("It stopped (no time)", "It stopped (no time)."),
        ("It stopped. (No time was left.)", "It stopped. (No time was left.)"),
        ('It is called "price"', 'It is called "price".'),
        ("and so on...", "and so on..."),
    ],
)
def test_a_sentence_ends_with_one_mark(text, whole):
    assert sentence(text) == whole
