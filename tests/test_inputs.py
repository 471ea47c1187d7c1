import os
from pathlib import Path

import pytest

from runtime.errors import BadOption, UnreadableFile
from runtime.inputs import collect, spare


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


def test_a_missing_file_or_a_name_too_long_for_the_disk_is_no_reason_to_end(tmp_path):
    long = tmp_path / ("x" * 300)
    assert collect([long], "out", suffix=".png")[0].input == long
    with pytest.raises(UnreadableFile, match="matches no file"):
        collect([f"{long}*"], "out", suffix=".png")


def test_a_file_named_from_here_and_from_the_root_is_one(tmp_path, monkeypatch):
    made(tmp_path, "a.arw")
    monkeypatch.chdir(tmp_path)
    assert len(collect(["a.arw", tmp_path / "a.arw", tmp_path], "out", suffix=".png")) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("a.arw", "a.dng", "a-arw.dng"),
        ("a.arw", "a.dng", "a-arw.dng", "b/a.arw", "b/a-arw.dng"),
        ("A.arw", "a.dng", "b/a.ARW"),
        ("a", "a.raw", "a-raw.raw", "a-raw-raw.nef"),
    ],
)
def test_no_two_files_become_one_picture_even_on_a_disk_without_case(names, tmp_path):
    made(tmp_path, *names)
    paths = [tmp_path / name for name in names]
    items = collect(paths, "out", suffix=".png")
    assert [item.input for item in items] == paths
    assert len({str(item.output).lower() for item in items}) == len(names)
    assert {i.input: i.output for i in collect(paths[::-1], "out", suffix=".png")} == {
        item.input: item.output for item in items
    }


def test_what_an_earlier_run_made_in_a_folder_below_is_not_taken_again(tmp_path):
    made(tmp_path, "a.dng", "sub/b.dng", "sub/out/a.dng", "sub/out/sub/b.dng")
    (tmp_path / "same").symlink_to(tmp_path / "sub" / "out")
    for out in (tmp_path / "sub" / "out", tmp_path / "same", tmp_path / "sub" / ".." / "sub" / "out"):
        assert [item.input.name for item in collect([tmp_path], out, suffix=".dng")] == ["a.dng", "b.dng"]
    assert len(collect([tmp_path / "sub"], tmp_path, suffix=".png")) == 3, "below the output, but not of it"
    assert len(collect([tmp_path / "sub"], tmp_path / "sub", suffix=".png")) == 3


def test_a_folder_that_is_called_like_a_raw_file_is_a_folder(tmp_path):
    made(tmp_path, "2024.raw/a.dng")
    (tmp_path / "gone.dng").symlink_to(tmp_path / "nowhere")
    (item,) = collect([tmp_path], "out", suffix=".png")
    assert (item.input, item.output) == (tmp_path / "2024.raw" / "a.dng", Path("out/2024.raw/a.png"))


def test_a_folder_that_nobody_may_read_is_said_to_be_so_and_one_below_is_passed_over(tmp_path, monkeypatch):
    made(tmp_path, "a.dng", "locked/b.dng")

    def refusing(real):
        def listed(folder):
            if Path(folder).name == "locked":
                raise PermissionError(13, "Permission denied", str(folder))
            return real(folder)

        return listed

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    assert [item.input.name for item in collect([tmp_path], "out", suffix=".png")] == ["a.dng"]
    with pytest.raises(UnreadableFile, match="cannot be listed .Permission denied"):
        collect([tmp_path / "locked"], "out", suffix=".png")


def test_an_output_that_is_an_input_by_any_name_is_refused(tmp_path):
    made(tmp_path, "a.dng", "b.dng")
    (tmp_path / "link.dng").symlink_to(tmp_path / "a.dng")
    os.link(tmp_path / "a.dng", tmp_path / "twin.dng")
    originals = [tmp_path / "b.dng", tmp_path / "a.dng", tmp_path / "missing.dng", "a\0b"]
    for name in ("a.dng", "link.dng", "twin.dng", "../" + tmp_path.name + "/b.dng"):
        with pytest.raises(BadOption, match="the output cannot be .* use another"):
            spare(originals, [tmp_path / "new.dng", tmp_path / name], allowed="another")
    spare(originals, [tmp_path / "new.dng", tmp_path / "missing.dng", "a\0b"], allowed="another")
