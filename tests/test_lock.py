import errno

import pytest

from runtime.lock import taken

fcntl = pytest.importorskip("fcntl")


def test_a_file_has_one_owner_until_it_is_closed(tmp_path):
    with (tmp_path / "a").open("w") as first, (tmp_path / "a").open() as second:
        assert taken(first.fileno())
        assert not taken(second.fileno())
        first.close()
        assert taken(second.fileno())


@pytest.mark.parametrize(
    ("number", "has"),
    [
        (errno.EWOULDBLOCK, False),
        (errno.EACCES, False),
        (errno.ENOLCK, True),
        (errno.EOPNOTSUPP, True),
        (errno.ENOSYS, True),
    ],
)
def test_where_there_are_no_locks_everyone_has_it(number, has, tmp_path, monkeypatch):
    def answers(*_):
        raise OSError(number, "no")

    monkeypatch.setattr(fcntl, "flock", answers)
    with (tmp_path / "a").open("w") as file:
        assert taken(file.fileno()) is has
