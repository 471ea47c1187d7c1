import inspect
import pickle
import re

import pytest

from runtime import errors

CLASSES = [getattr(errors, name) for name in errors.__all__]
EXAMPLES = [
    errors.UnknownName("network", "unte", ["unet", "light"]),
    errors.BadOption("width", 0, "a whole number"),
    errors.BadRecipe("a.toml", "fit.rate", "-1", "a number above 0"),
    errors.BadSize(100, 64, 16),
    errors.UnknownLayer("mix", "Mix", "the count"),
    errors.BadNumbers("conv/kernel"),
    errors.BadGrid("9 bits", "2 to 8 bits"),
    errors.TooLittleMemory(1 << 20, 300 << 20),
    errors.UnsupportedRaw("a.dng", "a linear DNG", "mosaics"),
    errors.NoPicture("a.dng", "is black all over", "take another"),
    errors.Busy("out", "is being written to", "wait for the other run"),
    errors.UnreadableFile("a\nb.npz", "cannot be read", "name another"),
    errors.AlteredFile("a.npz", "was altered", "write it again"),
    errors.BadContract("a.npz", "has no contract", "write it again"),
    errors.NotEqual("a.onnx", 3.0, 0.5, (0, 1, 2, 0)),
    errors.WrongNetwork("a.npz", "is another", "use the right one"),
    errors.MissingLibrary("onnxruntime", "cpu"),
    errors.EngineFailed("LiteRT 2.3.0", "failed to allocate memory"),
]


def test_the_page_draws_the_tree_that_the_classes_are():
    drawn, path = {}, []
    for line in inspect.getdoc(errors).splitlines():
        if found := re.match(r"((?:[│ ]   )*)(?:├── |└── )?(\w+)(?:  |$)", line):
            name = found[2]
            depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
            if name in errors.__all__:
                path[depth - 1 :] = [name]
                drawn[name] = path[-2] if len(path) > 1 else "Exception"
    assert drawn == {kind.__name__: kind.__base__.__name__ for kind in CLASSES}


def test_the_exit_codes_are_those_on_the_page():
    codes = {"UsageError": 2, "FileError": 1, "EngineFailed": 1, "SetupError": 3}
    for name, code in codes.items():
        assert re.search(rf"{name} +exit {code}", errors.__doc__)
        assert all(kind.exit_code == code for kind in CLASSES if issubclass(kind, getattr(errors, name)))


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_one_line_with_a_remedy_and_crosses_processes(error):
    assert "\n" not in str(error)
    assert error.remedy.split()[0] in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_every_error_that_is_raised_has_an_example_here():
    raised = {kind for kind in CLASSES if not kind.__subclasses__()}
    assert raised == {type(error) for error in EXAMPLES}


def test_a_bad_size_names_the_next_good_one():
    assert "112 x 64" in str(errors.BadSize(100, 64, 16))
