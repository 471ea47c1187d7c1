"""The ONNX Runtime backend's providers, as far as they can be seen without a GPU."""

import types

import numpy as np
import onnxruntime
import pytest
from tiny_model import tiny

from runtime import ort
from runtime.errors import SetupError, UnreadableFile
from runtime.ort import PROVIDERS, OnnxRuntime, providers
from runtime.selftest import FOLDER, STEP, picture

pytestmark = pytest.mark.xdist_group("ort")


@pytest.fixture
def listed(monkeypatch):
    """An ONNX Runtime that lists every provider, as those for GPUs do wherever they are."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))


@pytest.fixture
def ill(monkeypatch):
    """An ONNX Runtime that begins no session."""

    def begin(self, *args):
        self._fallback_providers = ["CPUExecutionProvider"]
        raise RuntimeError("no device is detected")

    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", begin)


def test_the_best_provider_comes_first(listed):
    assert providers() == ["tensorrt", "cuda", "cpu"]


def test_what_does_not_start_is_an_error_that_prints_nothing(listed, ill, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for provider in ("cuda", "tensorrt"):
        with pytest.raises(SetupError, match=rf"on {provider} \(no device is detected\): qk-run doctor"):
            OnnxRuntime(tiny(), provider=provider)
    with pytest.raises(UnreadableFile, match=r"no device is detected.*later onnxruntime"):
        OnnxRuntime(tiny())
    assert capfd.readouterr().out == "", "answers are printed there"


def test_a_cache_that_cannot_be_written_stops_tensorrt_in_words(listed, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="on tensorrt"):
        OnnxRuntime(tiny(), provider="tensorrt")


def test_the_onnx_runtime_for_gpus_is_not_laid_over_the_other():
    with pytest.raises(SetupError, match=r"pip uninstall onnxruntime, then pip install 'qk-unet\[gpu\]'"):
        OnnxRuntime(tiny(), provider="cuda")


class OneStepMore(onnxruntime.InferenceSession):
    """What cuts off sums, as far as it is seen from outside: its levels are others."""

    def run(self, names, inputs):
        return [made + STEP for made in super().run(names, inputs)]


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64"])
@pytest.mark.parametrize("session", [onnxruntime.InferenceSession, OneStepMore])
def test_a_processor_whose_integers_are_others_is_found_out_by_the_self_test(machine, session, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: machine)
    library = types.SimpleNamespace(InferenceSession=session, SessionOptions=onnxruntime.SessionOptions)
    assert ort._cuts_off.__wrapped__(library) == (session is OneStepMore and machine != "aarch64")


@pytest.mark.parametrize("cuts_off", [False, True])
def test_where_sums_are_cut_off_the_exact_kernels_are_taken_and_numbers_are_the_same(cuts_off, monkeypatch):
    monkeypatch.setattr(ort, "_cuts_off", lambda library: cuts_off)
    backend = OnnxRuntime(FOLDER / "selftest.onnx", threads=1)
    asked = backend.session.get_session_options().get_session_config_entry("session.x64quantprecision")
    assert asked == str(int(cuts_off))
    (made,) = backend.run(np.ascontiguousarray(picture().transpose(0, 3, 1, 2))).values()
    assert ort.digest(made.transpose(0, 2, 3, 1)) == ort.expected(FOLDER / "selftest.onnx")
