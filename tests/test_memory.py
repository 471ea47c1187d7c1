import numpy as np
import pytest

from runtime.errors import BadOption
from runtime.memory import available, parse, peak_of, resident, total


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 2**29), ("1.5G", 3 * 2**29), (" 800 MiB ", 800 * 2**20), ("2gb", 2**31), ("4194304", 2**22)],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "0", "12", "1e9", "nan", "512Q", "9" * 40 + "G", "1 2M"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(BadOption, match="512M"):
        parse(text)


def test_the_peak_of_a_call_is_what_it_held_and_let_go():
    if not resident():
        pytest.skip("this system does not tell")
    size = 64 << 20
    taken = peak_of(lambda: np.ones(size, np.uint8).sum()) - resident()
    assert 0.9 * size < taken < 1.5 * size
    assert peak_of(lambda: None) - resident() < 0.1 * size


def test_a_machine_has_more_memory_than_this_process_holds():
    assert 0 <= resident() <= (total() or resident())
    assert available() <= (total() or available())
