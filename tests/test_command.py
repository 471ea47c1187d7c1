import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from export.cli import main as qk_export
from keras_models.cli import main as qk_models
from quant.cli import main as qk_train
from quant.recipe import Cosine, Steps, from_json, to_json
from runtime.cli import main as qk_run
from runtime.command import Command
from runtime.errors import BadOption, MissingLibrary, UnreadableFile


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnreadableFile("a", "is bad", "mend it"), 1),
        (BadOption("a", 1, "2"), 2),
        (MissingLibrary("tf", "train"), 3),
    ],
)
def test_an_error_is_one_line_on_stderr_and_its_exit_code(error, code):
    @click.command(cls=Command)
    def fails():
        raise error

    result = CliRunner().invoke(fails, [])
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"error: {error}\n", "")


def test_a_bug_keeps_its_traceback():
    @click.command(cls=Command)
    def buggy():
        raise ValueError("bug")

    assert isinstance(CliRunner().invoke(buggy, []).exception, ValueError)


def test_a_reader_that_leaves_early_gets_no_traceback():
    script = "from keras_models.cli import main; main(['unet', 'c-unet', '--json', '-o', 'width=2'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        run.stdout.close()
        errors = run.stderr.read()
    assert "Traceback" not in errors
    assert run.returncode == 1


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")


@FULL
@pytest.mark.parametrize("buffer", [[], ["-u"]])
@pytest.mark.parametrize("words", [["--json"], []])
def test_a_full_disk_is_one_line(words, buffer, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    script = f"from keras_models.cli import main; main(['unet', '-o', 'width=2', *{words}])"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, *buffer, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the output cannot be written (No space left on device)" in done.stderr


def test_an_error_of_another_file_is_no_error_of_the_output():
    @click.command(cls=Command)
    def buggy():
        raise OSError(28, "No space left on device", "a file")

    assert isinstance(CliRunner().invoke(buggy, []).exception, OSError)


def test_qk_models_prints_json_lines_that_agree_with_the_table():
    result = CliRunner().invoke(qk_models, ["c-unet", "unet", "-o", "width=8", "--json"])
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["name"] for row in rows] == ["c-unet", "unet"]
    table = CliRunner().invoke(qk_models, ["c-unet", "unet", "-o", "width=8"]).stdout
    for row in rows:
        assert f"{row['parameters_trainable']:,}" in table
        assert row["macs_frame"] > row["macs_mosaic"] > 0
    assert "…" not in table  # nothing is cut


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["unte"], "did you mean 'unet'"),
        (["unet", "-o", "width"], "NAME=VALUE"),
        (["unet", "-o", "width=wide"], "a whole number"),
        (["unet", "-o", "wide=2"], "option of unet"),
        (["unet", "-o", "width=--3"], "a whole number"),
        (["unet", "-o", f"width={'9' * 5000}"], "a whole number"),
        (["unet", "-o", "width=2", "-o", "surround=1"], "residual=true with it"),
        (["unet", "--json", "--markdown"], "use one of them"),
    ],
)
def test_qk_models_refuses_in_one_line(words, said):
    result = CliRunner().invoke(qk_models, words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The weights that trainings of three seeds begin with, two of them the same."""
    folder = tmp_path_factory.mktemp("begun")
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        words = ["c-unet", "-o", "width=2", "--seed", seed, "--steps", "0", "--out", str(folder / name)]
        result = CliRunner().invoke(qk_train, words)
        assert result.exit_code == 0, result.output
    return folder


def test_weights_go_from_qk_train_to_qk_export(begun, tmp_path):
    files = [begun / name / "float.npz" for name in "abc"]
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()
    shown = CliRunner().invoke(qk_export, [str(files[0])])
    assert "c-unet" in shown.stdout
    assert "width=2" in shown.stdout
    (tmp_path / "cut.npz").write_bytes(files[0].read_bytes()[:-50])
    refused = CliRunner().invoke(qk_export, [str(tmp_path / "cut.npz")])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "cut.npz" in refused.stderr


def test_qk_train_shows_its_recipes_and_goes_without_tensorflow_until_it_trains():
    shown = CliRunner().invoke(qk_train, ["--list"])
    assert shown.exit_code == 0
    assert all(f"\n{name} " in shown.stdout for name in ("unet-w4a6", "shipped/fast", "--table trial"))
    assert "taught by thin-teacher" in next(line for line in shown.stdout.splitlines() if "distilled" in line)
    assert CliRunner().invoke(qk_train, []).exit_code == 2
    assert "shipped/fast" in CliRunner().invoke(qk_train, ["fast"]).stderr
    for more in (["--data", "photos"], ["--resume", "--out", "no-such-run"]):
        refused = CliRunner().invoke(qk_train, ["effnet-ffnet", *more])
        assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)


@pytest.fixture
def asked(monkeypatch):
    """The recipe that a line would train."""

    def asked(*words):
        seen = []
        monkeypatch.setattr("quant.train.train", lambda recipe, **options: seen.append(recipe))
        monkeypatch.setattr("quant.cli._tell_result", lambda *args, **options: None)
        done = CliRunner().invoke(qk_train, words)
        assert done.exit_code == 0, done.output
        return seen[0]

    return asked


@pytest.mark.parametrize("name", ["unet-qat", "shipped/fast-int8"])
@pytest.mark.parametrize("steps", ["0", "40", "2000"])
def test_a_shorter_training_is_one_that_its_folder_can_go_on_with(name, steps, asked):
    short = asked(name, "--steps", steps)
    assert from_json(to_json(short), source="itself") == short
    assert max(short.fit.steps, short.fine_tune.steps) == int(steps)


def test_a_shorter_training_keeps_its_schedule_and_ranges_are_held_only_where_something_moves(asked):
    assert asked("unet-qat", "--steps", "2000").fit.schedule == Steps(boundaries=(1000,))
    assert asked("shipped/fast-int8", "--steps", "1250").fine_tune.schedule == Cosine(warm_up=50)
    assert [asked("shipped/fast-int8", "--steps", steps).scheme.still for steps in ("1", "0")] == [True, False]


def test_another_seed_is_that_of_the_first_fit_and_the_second_keeps_its_distance(asked):
    for given, seeds in (("7", (7, 8)), ("2147483647", (2147483647, 0))):
        recipe = asked("shipped/fast", "--seed", given)
        assert (recipe.fit.seed, recipe.fine_tune.seed) == seeds
    assert CliRunner().invoke(qk_train, ["unet", "--seed", "2147483648"]).exit_code == 2


SHARED = (["--workers", "2"], ["--resume"])
IDLE = [
    *((["--table", "trial"], words) for words in (["--pairs", "1"], *SHARED)),
    *((["--search", "runs/a"], words) for words in (["--pairs", "1"], *SHARED)),
    *((["unet", "--pairs", "1"], words) for words in SHARED),
]


@pytest.mark.parametrize(("words", "idle"), IDLE, ids=str)
def test_an_option_that_would_do_nothing_is_refused(words, idle):
    refused = CliRunner().invoke(qk_train, [*words, *idle])
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert f"{idle[0]} cannot be" in refused.stderr


def test_qk_export_writes_both_formats_and_says_how_they_compare(begun, tmp_path):
    weights, out = begun / "a" / "float.npz", tmp_path / "out"
    done = CliRunner().invoke(qk_export, [str(weights), "--to", "onnx", "--to", "tflite", "--json", "--out", str(out)])
    onnx, tflite = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert (out / "float.onnx").stat().st_size == onnx["bytes"]
    assert max(onnx["worst"], tflite["worst"], tflite["between_formats"]["worst"]) <= 1
    table = CliRunner().invoke(qk_export, [str(weights), "--to", "onnx", "--bits", "4", "--out", str(tmp_path / "w4")])
    assert (table.exit_code, (tmp_path / "w4" / "float-w4.onnx").exists()) == (0, True)
    assert "exact" in table.stdout


def test_the_doctor_fails_when_there_is_no_engine(monkeypatch):
    well = CliRunner().invoke(qk_run, ["doctor", "--json"])
    found = json.loads(well.stdout)
    assert well.exit_code == 0
    assert any(engine["version"] for engine in found["engines"])
    for module in ("onnxruntime", "ai_edge_litert"):
        monkeypatch.setitem(sys.modules, module, None)
    ill = CliRunner().invoke(qk_run, ["doctor"])
    assert ill.exit_code == 3
    assert "pip install 'qk-unet[litert]'" in ill.stdout
    assert "pip install 'qk-unet[cpu]'" in ill.stderr
