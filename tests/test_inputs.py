from pathlib import Path

import pytest

from runtime.errors import UnreadableFile
from runtime.inputs import collect


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_folders_and_patterns_become_files_with_an_output_each(tmp_path):
    made(tmp_path, "a.ARW", "d/b.dng", "d/e/c.NEF", "d/notes.txt", "d/.hidden.dng", "g/x1.cr2", "g/x2.cr2")
    found = collect([tmp_path / "a.ARW", tmp_path / "d", f"{tmp_path}/g/*.cr2"], "out", suffix=".png")
    assert {i.input.relative_to(tmp_path).as_posix(): i.output.as_posix() for i in found} == {
        "a.ARW": "out/a.png",
        "d/b.dng": "out/b.png",
        "d/e/c.NEF": "out/e/c.png",
        "g/x1.cr2": "out/x1.png",
        "g/x2.cr2": "out/x2.png",
    }


def test_two_of_one_name_have_two_outputs_the_same_at_every_run(tmp_path):
    made(tmp_path, "a.arw", "a.dng", "one/b.arw", "two/b.arw")
    names = [tmp_path / "a.arw", tmp_path / "a.dng", tmp_path / "one/b.arw", tmp_path / "two/b.arw"]
    outputs = [item.output for item in collect(names, "out", suffix=".png")]
    assert outputs[:2] == [Path("out/a-arw.png"), Path("out/a-dng.png")]
    assert len(set(outputs)) == 4
    assert outputs == [item.output for item in collect(names, "out", suffix=".png")]
    assert outputs[3] == collect(names[::-1], "out", suffix=".png")[0].output


def test_a_file_named_twice_is_one(tmp_path):
    made(tmp_path, "a.arw")
    assert len(collect([tmp_path / "a.arw"] * 2, "out", suffix=".png")) == 1


@pytest.mark.parametrize("name", ["-o.arw", "a\nb.dng", "[x].nef", "*.dng", "name without an end", "..a.dng"])
def test_odd_names_are_names_and_stay_in_the_folder(name, tmp_path):
    made(tmp_path, name)
    (item,) = collect([tmp_path / name], tmp_path / "out", suffix=".png")
    assert item.input == tmp_path / name
    assert item.output.parent == tmp_path / "out"


def test_a_way_up_in_a_name_does_not_lead_out_of_the_folder(tmp_path):
    made(tmp_path, "d/a.arw")
    (item,) = collect([f"{tmp_path}/d/../d/a.arw"], tmp_path / "out", suffix=".png")
    assert item.output == tmp_path / "out" / "a.png"


def test_an_empty_folder_and_a_pattern_of_nothing_are_said_to_be_so(tmp_path):
    with pytest.raises(UnreadableFile, match="no RAW files"):
        collect([tmp_path], "out", suffix=".png")
    with pytest.raises(UnreadableFile, match="matches no file"):
        collect([f"{tmp_path}/*.dng"], "out", suffix=".png")


def test_a_missing_file_is_left_to_fail_alone(tmp_path):
    assert collect([tmp_path / "none.arw"], "out", suffix=".png")[0].input.name == "none.arw"
