import json

import pytest

from runtime.atomic import writing
from runtime.errors import Busy, FileError
from runtime.ledger import LOCK, NAME, Ledger


def test_what_is_done_is_known_to_the_next_run_until_it_changes(tmp_path):
    picture = tmp_path / "sub" / "a.png"
    with Ledger(tmp_path) as ledger:
        assert not ledger.done("key", picture)
        picture.parent.mkdir()
        picture.write_bytes(b"picture")
        ledger.note("key", picture)
    with Ledger(tmp_path) as ledger:
        assert ledger.done("key", picture)
        assert not ledger.done("other", picture)
        picture.write_bytes(b"something else")
        assert not ledger.done("key", picture)
        picture.unlink()
        assert not ledger.done("key", picture)


def test_a_folder_has_one_run_at_a_time(tmp_path):
    with Ledger(tmp_path), pytest.raises(Busy, match="another run"), Ledger(tmp_path):
        pass
    with Ledger(tmp_path):
        pass


def test_what_a_killed_run_leaves_is_cleared_and_nothing_else(tmp_path):
    kept = ["c.part", ".d.png", ".download.iso.part", "foreign/.e.png.89abcdef.part"]
    for name in (".a.png.01234567.part", "sub/.b.png.4567cdef.part", *kept):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with Ledger(tmp_path, holding=[tmp_path / "sub", tmp_path / "not yet"]):
        pass
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) == sorted([*kept, LOCK])


def test_what_another_is_writing_beside_a_run_is_left_to_it(tmp_path):
    with writing(tmp_path / "a.png") as file:
        file.write(b"half of it, ")
        with Ledger(tmp_path):
            file.write(b"and the rest")
    assert (tmp_path / "a.png").read_bytes() == b"half of it, and the rest"


def test_torn_and_foreign_lines_are_passed_over(tmp_path):
    picture = tmp_path / "a.png"
    picture.touch()
    with Ledger(tmp_path) as ledger:
        ledger.note("key", picture)
    text = (tmp_path / NAME).read_text()
    torn = json.dumps({"output": "a.png", "key": "no"})[:-3]
    (tmp_path / NAME).write_text(f'{text}[1]\n"x"\n{{}}\n\0\n{torn}')
    with Ledger(tmp_path) as ledger:
        assert ledger.done("key", picture)
        ledger.note("new", picture)  # behind a line that was torn
    with Ledger(tmp_path) as ledger:
        assert ledger.done("new", picture)


def test_a_folder_that_cannot_be_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written to"), Ledger(tmp_path / "file" / "out"):
        pass
