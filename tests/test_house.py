"""The rules of the house, as tests."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest
import tomllib

ROOT = Path(__file__).parent.parent
ROOMS = ["quant", "export", "keras_models", "runtime"]  # imports point right
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
HEAVY = {
    "tensorflow",
    "tf_keras",
    "keras",
    "tensorflow_model_optimization",
    "qkeras",
    "onnxruntime",
    "ai_edge_litert",
}


def imports(tree):
    """Every package imported anywhere in a file, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def wrong_imports(room, tree):
    left = [*ROOMS[: ROOMS.index(room)], "tests"]
    banned = (
        {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "qkeras"} if room == "runtime" else set()
    )
    return [name for name in imports(tree) if name in left or name in banned]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_keeps_the_rules(path):
    room = path.relative_to(ROOT).parts[0]
    tree = ast.parse(path.read_text())
    assert wrong_imports(room, tree) == []
    assert ast.get_docstring(tree)
    assert len(path.read_text().splitlines()) <= 300
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), "assert is for tests"
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is long"
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    assert all(hasattr(module, name) for name in module.__all__)
    assert list(module.__all__) == sorted(
        module.__all__, key=lambda name: (name.upper() != name, name[0].islower(), name)
    )


def test_the_import_rule_sees_what_it_should():
    assert wrong_imports("runtime", ast.parse("def f():\n    import tensorflow.keras")) == ["tensorflow"]
    assert wrong_imports("runtime", ast.parse("from export import x")) == ["export"]
    assert wrong_imports("keras_models", ast.parse("import tf_keras, runtime.errors")) == []


def test_what_the_rooms_export_is_meant():
    import export
    import keras_models
    import quant
    import runtime

    assert keras_models.__all__ == ["add", "build", "load", "names", "restore", "save"]
    assert runtime.__all__ == ["Contract", "Enhancer", "Error", "Raw", "Session", "Wish", "enhance", "open"]
    assert (export.__all__, quant.__all__) == ([], [])


def loaded_by(code):
    """The packages that a fresh Python has loaded after running `code`."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in done.stderr.split()}


def test_the_runtime_loads_no_tensorflow_and_no_engine():
    modules = "; ".join(f"import runtime.{path.stem}" for path in (ROOT / "runtime").glob("[a-z]*.py"))
    loaded = loaded_by(f"import runtime; {modules}")
    assert "runtime" in loaded
    assert not loaded & HEAVY
    assert "tensorflow" in loaded_by("import keras_models.layers")  # the check can fail


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_answered_without_loading_what_is_slow(script):
    module = SCRIPTS[script].split(":")[0]
    loaded = loaded_by(f"from {module} import main; main(['--help'])")
    assert not loaded & (HEAVY | {"numpy", "rich", "rawpy"})


def commands():
    for script, target in SCRIPTS.items():
        module, name = target.split(":")
        command = getattr(importlib.import_module(module), name)
        yield script, command
        for child in getattr(command, "commands", {}).values():
            yield f"{script} {child.name}", child


def test_every_command_and_option_has_help_and_every_command_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    for name, command in commands():
        assert name in readme, f"README.md does not mention {name}"
        assert command.help, f"{name} has no help"
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.help, f"{name} {parameter.name} has no help"


def test_versions_are_pinned_for_everything_installed_and_no_place_is_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {line.split(">")[0] for line in wanted} - {
        "onnxruntime-gpu",
        "setuptools",
    }  # not on a CPU; 3.12 alone
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line and "/" not in line for line in lines)
    assert names <= {line.split("==")[0] for line in lines}
