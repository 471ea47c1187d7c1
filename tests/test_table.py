"""Recipes side by side: in the order of their needs, each trained once, judged by what the files give."""

import csv
from dataclasses import replace

import pytest
from click.testing import CliRunner
from test_train import FEW, ONNX, recipe

from quant import baseline, learn, table
from quant.cli import main
from quant.recipe import FOLDER, Distill, PaperFixedPoint, Rooms, Synthetic
from quant.table_files import as_markdown
from runtime.errors import BadOption, UnreadableFile

DATA = Synthetic(ratio=(100.0, 100.0))


@pytest.fixture
def small(monkeypatch):
    """Few samples, and one classical denoiser of each kind."""
    pytest.importorskip("skimage")
    monkeypatch.setattr(learn, "HELD", 4)
    monkeypatch.setattr(table, "JUDGED", 4)
    monkeypatch.setattr(table, "TUNED", 1)
    monkeypatch.setattr(table, "SIDE", 32)
    monkeypatch.setattr(table, "ROUNDS", 1)
    few = tuple(grid[:1] for grid in baseline.GRIDS)
    monkeypatch.setattr(table, "tune", lambda pairs, numbers: baseline.tune(pairs, numbers, grids=few))


@pytest.mark.usefixtures("eagerly")
def test_a_table_has_a_row_for_each_network_in_files_and_is_not_trained_twice(small, tmp_path, monkeypatch):
    first = recipe(name="later", data=DATA, exports=(*ONNX, replace(ONNX[0], bits=4)))
    second = recipe(
        PaperFixedPoint(), name="early", warm_start="later", fit=replace(FEW, steps=0), data=DATA, exports=ONNX
    )
    seen = []
    rows = table.table([second, first], out=tmp_path, done=lambda row: seen.append(row.name))
    assert seen == [row.name for row in rows] == ["amplified", "classical", "later", "later-w4", "early"]
    assert all(row.figures.keys() == {"psnr", "ssim", "mse"} for row in rows)
    assert rows[1].figures["psnr"] > rows[0].figures["psnr"]
    own = {"onnx kB", "onnx ms", "onnx MiB"}
    assert [row.costs.keys() for row in rows] == [set(), set(), own, own, own]
    assert rows[2].figures != rows[3].figures
    assert all(cost > 0 for row in rows for cost in row.costs.values())
    with (tmp_path / "table.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert [line[0] for line in lines] == ["", *seen]
    assert [line[0] for line in lines[0:1]] == [""]
    text = (tmp_path / "table.md").read_text()
    assert "synthetic pairs at x100 to x100" in text
    assert as_markdown(rows) in text
    assert all(name in (tmp_path / "table.svg").read_text() for name in ("later", "early"))
    monkeypatch.delattr(table, "train")
    again = table.table([first, second], out=tmp_path)
    assert [(row.name, row.figures) for row in again] == [(row.name, row.figures) for row in rows]


def test_what_needs_another_comes_after_it():
    a, b, c = (recipe(name=name) for name in "abc")
    distill = Distill(teacher="b", teacher_maps=("x",), student_maps=("x",))
    ordered = table.in_order([replace(a, warm_start="c"), b, replace(c, distill=distill)])
    assert [one.name for one in ordered] == ["b", "c", "a"]
    assert [one.name for one in table.in_order([c, a, b])] == ["a", "b", "c"]
    assert [one.name for one in table.in_order([replace(a, warm_start="runs/c")])] == ["a"], "another's run"
    with pytest.raises(BadOption, match="a -> c -> a|c -> a -> c"):
        table.in_order([replace(a, warm_start="c"), replace(c, warm_start="a")])


def test_what_cannot_stand_side_by_side_is_refused(tmp_path):
    with pytest.raises(BadOption, match="same data"):
        table.table([recipe(name="a"), recipe(name="b", data=Rooms())], out=tmp_path)
    with pytest.raises(UnreadableFile, match="holds no recipes"):
        table.recipes_of(tmp_path)
    for words in (["--table", str(tmp_path), "unet"], [], ["--table", str(tmp_path), "--workers", "2"]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2, words
        assert len(done.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "rows", "first", "later"),
    [
        ("trial", 6, "unet", "thin-student-distilled"),
        ("depth", 14, "float", "ptq-qat-tensor-folded"),
        ("lowlight", 28, "lighter", "lighter-ptq-tensor"),
    ],
)
def test_the_shipped_tables_are_in_order_and_of_one_kind_of_data(name, rows, first, later):
    recipes = table.in_order(table.recipes_of(FOLDER / name))
    names = [one.name for one in recipes]
    assert len(names) == rows
    assert len({(one.data, one.fit.size, one.fit.seed) for one in recipes}) == 1
    assert names.index(first) < names.index(later)
