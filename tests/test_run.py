"""The folder of a run: what is written there, and who may go on or begin from it."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from export.parity import Parity
from quant import run
from quant.recipe import Fit, Model, Recipe
from quant.run import MASTER, NOTE, RESULT, Result, claim, commit, finish, finished, master, recipe_of
from runtime.errors import FileError, UnreadableFile

FEW = Fit(steps=3)
RECIPE = Recipe(name="small", model=Model(network="unet"), fit=FEW, fine_tune=replace(FEW, steps=0))
OTHER = replace(RECIPE, fit=replace(FEW, rate=1.0))
EQUAL = Parity(unit=1.0, worst=0.0, mean=0.0, exact=1.0, within_one=1.0, decibel=float("inf"), where=(0,))
AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def ended(folder, recipe=RECIPE):
    """A run that is done, with one file."""
    claim(folder, recipe)
    (folder / "small.onnx").write_bytes(b"a model")
    (folder / MASTER).write_bytes(b"weights")
    result = Result(folder, {"float": {"psnr": 30.0}}, {"small.onnx": EQUAL}, ("one was skipped",))
    finish(result)
    return result


def test_a_folder_says_what_it_is_of_and_takes_the_same_recipe_again(tmp_path):
    folder = tmp_path / "a/b"
    claim(folder, RECIPE, workers=2)
    note = (folder / NOTE).read_bytes()
    told = json.loads(note)
    assert (told["workers"], told["recipe"]["fit"]["steps"], told["recipe"]["name"]) == (2, 3, "small")
    claim(folder, RECIPE, workers=1)
    assert (folder / NOTE).read_bytes() == note, "what began the run stays written"


def test_a_folder_refuses_to_become_that_of_another_recipe(tmp_path):
    claim(tmp_path, RECIPE)
    for other in (OTHER, replace(RECIPE, name="other")):
        with pytest.raises(FileError, match="another recipe: name another folder"):
            claim(tmp_path, other)
    assert json.loads((tmp_path / NOTE).read_text())["recipe"]["fit"]["rate"] == RECIPE.fit.rate


def test_a_run_begun_before_a_key_was_there_is_of_the_recipe_that_does_not_say_it(tmp_path):
    claim(tmp_path, RECIPE)
    note = json.loads((tmp_path / NOTE).read_text())
    del note["recipe"]["fit"]["clip"], note["recipe"]["distill"]
    (tmp_path / NOTE).write_text(json.dumps(note))
    claim(tmp_path, RECIPE)
    assert recipe_of(tmp_path) == RECIPE
    with pytest.raises(FileError, match="another recipe"):
        claim(tmp_path, replace(RECIPE, fit=replace(FEW, clip=1.0)))


@pytest.mark.parametrize("damaged", [b"", b'{"recipe": ', b"[1, 2]", b"\xff\xfe", b"{}", b'{"recipe": 3}'])
def test_a_folder_whose_note_is_damaged_is_nobodys(tmp_path, damaged):
    (tmp_path / NOTE).write_bytes(damaged)
    with pytest.raises(FileError, match="name another folder"):
        claim(tmp_path, RECIPE)
    assert (tmp_path / NOTE).read_bytes() == damaged, "nothing is written over what cannot be read"
    assert not finished(tmp_path, RECIPE)


def test_a_run_is_finished_with_its_result_and_all_its_files(tmp_path):
    assert not finished(tmp_path / "nowhere", RECIPE)
    claim(tmp_path, RECIPE)
    assert not finished(tmp_path, RECIPE)
    result = ended(tmp_path)
    assert finished(tmp_path, RECIPE)
    assert not finished(tmp_path, OTHER)
    told = json.loads((tmp_path / RESULT).read_text())
    assert told == json.loads(json.dumps(result.as_dict()))
    assert told["files"]["small.onnx"]["decibel"] is None, "JSON has no infinity"
    for name in ("small.onnx", MASTER):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        assert not finished(tmp_path, RECIPE), name
        (tmp_path / name).write_bytes(kept)
    assert finished(tmp_path, RECIPE)


@pytest.mark.parametrize("damaged", ["", '{"files": {"small.on', "[]", "{}", '{"files": ["small.onnx"]}'])
def test_a_run_whose_result_is_damaged_is_not_finished(tmp_path, damaged):
    ended(tmp_path)
    (tmp_path / RESULT).write_text(damaged)
    assert not finished(tmp_path, RECIPE)


def test_weights_to_begin_from_are_found_by_folder_or_by_the_name_of_a_run_beside(tmp_path, monkeypatch):
    ended(tmp_path / "runs/before")
    beside = tmp_path / "runs/mine"
    assert master("before", beside=beside) == tmp_path / "runs/before" / MASTER
    assert (
        master(str(tmp_path / "runs/before"), beside=tmp_path / "elsewhere/mine") == tmp_path / "runs/before" / MASTER
    )
    monkeypatch.chdir(tmp_path)
    assert master("runs/before", beside=tmp_path / "elsewhere/mine").samefile(tmp_path / "runs/before" / MASTER)


@pytest.mark.parametrize("lost", [MASTER, RESULT, None])
def test_a_run_that_is_not_finished_is_told_with_the_folder_that_it_belongs_in(tmp_path, lost):
    if lost:
        ended(tmp_path / "before")
        (tmp_path / "before" / lost).unlink()
    for asked in ("before", str(tmp_path / "before")):
        with pytest.raises(UnreadableFile) as error:
            master(asked, beside=tmp_path / "mine")
        assert f"is no finished run: train 'before' first, with --out {tmp_path}/before" in str(error.value)


def git(folder, *words):
    made = subprocess.run(["git", *AUTHOR, *words], cwd=folder, capture_output=True, text=True, check=True)
    return made.stdout.strip()


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository of one commit that the module believes to be in."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    code = tmp_path / "clone/quant/run.py"
    code.parent.mkdir(parents=True)
    code.write_text("1\n")
    git(tmp_path / "clone", "init", "-q")
    git(tmp_path / "clone", "add", ".")
    git(tmp_path / "clone", "commit", "-qm", "one")
    monkeypatch.setattr(run, "__file__", str(code))
    return tmp_path / "clone"


@needs_git
def test_inside_a_clone_a_run_knows_its_commit_and_whether_files_were_changed(clone):
    head = git(clone, "rev-parse", "HEAD")[:12]
    assert commit() == head
    git(clone, "tag", "-a", "v1", "-m", "a tag is no commit")
    assert commit() == head
    Path(run.__file__).write_text("2\n")
    assert commit() == f"{head}-dirty"


@needs_git
def test_outside_a_clone_or_without_git_a_run_knows_no_commit(clone, tmp_path, monkeypatch):
    assert commit() is not None, "the control: here it is known"
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        assert commit() is None
    shutil.rmtree(clone / ".git")
    assert commit() is None
    (clone / ".git").write_text("gitdir: nowhere\n")
    assert commit() is None, "git itself gives up"
