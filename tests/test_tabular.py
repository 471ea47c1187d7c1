import csv
import io

import pytest

from runtime.tabular import aligned, as_csv, as_markdown

HEADS, LINES = ("model", "n"), [("a", "1"), ("longer, wider", "100")]


def test_words_stand_left_and_numbers_right():
    assert as_markdown(HEADS, LINES).splitlines()[1:3] == ["| --- | ---: |", "| a | 1 |"]
    assert aligned(HEADS, LINES) == (
        "| model         |   n |\n"
        "| ------------- | --: |\n"
        "| a             |   1 |\n"
        "| longer, wider | 100 |\n"
    )  # fmt: skip


@pytest.mark.parametrize("made", [as_markdown, aligned])
def test_a_table_without_lines_is_its_heads(made):
    assert made(HEADS, []).splitlines()[0] == "| model | n |"


def test_a_line_that_is_too_short_is_the_callers_bug():
    with pytest.raises(ValueError, match="shorter"):
        aligned(HEADS, [("a",)])


def test_a_spreadsheet_reads_the_same_cells():
    assert list(csv.reader(io.StringIO(as_csv(HEADS, LINES)))) == [list(HEADS), *map(list, LINES)]
