import math

import pytest

from quant.budget import Budget
from runtime.errors import BadOption


def read(**options):
    return Budget.read(**{"max_size": None, "max_drop": None, "max_mac_bits": None, **options})


@pytest.mark.parametrize(
    ("text", "size"),
    [("500kB", 500_000), ("1MB", 1_000_000), ("1.5 M", 1_500_000), ("2KiB", 2048), ("1mib", 1 << 20), ("1234", 1234)],
)
def test_sizes_are_decimal_as_tables_have_them_unless_they_say_ki(text, size):
    assert read(max_size=text) == Budget(max_size=size)


def test_a_drop_is_in_db_with_the_word_or_without():
    assert read(max_drop="0.3dB") == read(max_drop="0.3") == Budget(max_drop=0.3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_size": "1GB"},
        {"max_size": "-1"},
        {"max_drop": "3%"},
        {"max_drop": "1e9999"},
        *({"max_mac_bits": bits} for bits in (math.nan, math.inf, -4.0, 1.9, 8.1)),
        {},
    ],
)
def test_what_is_no_budget_is_refused(wrong):
    with pytest.raises(BadOption, match="--max|--search"):
        read(**wrong)
