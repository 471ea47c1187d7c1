import json
import shutil
import sys
from dataclasses import asdict

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from make_selftest import make
from onnx import numpy_helper

from runtime.cli import main as qk_run
from runtime.doctor import engines, machine, notes, self_test, starts
from runtime.errors import MissingLibrary, UnknownName
from runtime.memory import available as available_memory
from runtime.ort import PROVIDERS, OnnxRuntime
from runtime.selftest import DIGESTS, FOLDER, SELF_TESTS, STEP
from runtime.tflite import appended, read

pytestmark = pytest.mark.xdist_group("doctor")

GIB = 2**30


@pytest.fixture
def shipped(tmp_path):
    """A copy of the self-test's files, to be spoiled."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in (*SELF_TESTS.values(), DIGESTS):
        shutil.copy(FOLDER / name, folder)
    return folder


def system(root, *, cgroup="", **files):
    """A root folder that tells of 8 GiB with 5 available, and what else is asked for."""
    known = {"proc/meminfo": "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 5242880 kB\n"}
    for name, text in {**known, "proc/self/cgroup": cgroup, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(str(text))
    return root


def test_the_doctor_knows_this_machine():
    here = machine()
    assert here.cores >= 1
    assert here.memory > 2**28
    assert 2**26 < here.available <= here.memory
    assert {"qk-unet", "numpy", "rawpy"} <= here.libraries.keys()
    json.dumps(asdict(here))


def test_an_engine_is_found_with_its_providers_or_comes_with_its_pip_line(monkeypatch):
    for engine in engines():
        assert (engine.version is None) == (engine.remedy is not None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what Python does for a module that is not there
    missing = engines()[0]
    assert (missing.version, missing.remedy) == (None, "pip install 'qk-unet[cpu]'")


def test_an_engine_that_is_there_and_broken_is_shown_with_what_is_wrong_and_the_others_are_tested(
    monkeypatch, tmp_path
):
    (tmp_path / "onnxruntime.py").write_text("raise OSError('GLIBC_2.38 not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    shown = CliRunner().invoke(qk_run, ["doctor"])
    assert "onnxruntime is installed but cannot be loaded (GLIBC_2.38 not found): pip install --force" in shown.stdout
    assert "self-test  ai_edge_litert computes the same" in shown.stdout
    assert shown.exit_code == 3
    assert shown.stderr.count("\n") == 1, "one line, and no traceback"


@pytest.fixture
def listed(monkeypatch):
    """An ONNX Runtime that lists what is not there, as those for GPUs do."""
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_is_listed_and_does_not_start_is_a_note_and_no_failure(listed):
    assert [(gpu.provider, gpu.starts) for gpu in starts()] == [("tensorrt", False), ("cuda", False)]
    shown = CliRunner().invoke(qk_run, ["doctor"])
    assert shown.exit_code == 0
    assert "note       cuda is listed and does not start (ONNX Runtime took CPU" in shown.stdout
    assert "install the CUDA and cuDNN that this onnxruntime-gpu was built for" in shown.stdout


@pytest.mark.parametrize(("levels", "told"), [(0, "the same integers as a CPU"), (1, "not quite the integers")])
def test_a_gpu_that_starts_is_told_with_whether_its_integers_are_the_same(levels, told, listed, monkeypatch):
    class Other(OnnxRuntime):
        """A GPU, as far as can be seen from outside."""

        def __init__(self, path, *, provider="cpu", threads=None):
            super().__init__(path, threads=threads)
            self.off = STEP * levels * (provider != "cpu")

        def run(self, batch):
            return {name: made + self.off for name, made in super().run(batch).items()}

    monkeypatch.setattr("runtime.ort.OnnxRuntime", Other)
    shown = CliRunner().invoke(qk_run, ["doctor"])
    assert shown.exit_code == 0
    assert f"gpu        cuda starts, and computes {told}" in shown.stdout


def test_what_a_driver_raises_is_why_a_gpu_does_not_start(listed, monkeypatch):
    def ill(*args, **options):
        raise ValueError("no kernel image is available")

    monkeypatch.setattr("runtime.doctor.computed", ill)
    assert "no kernel image is available" in starts()[0].problem


def test_without_onnx_runtime_there_is_no_gpu_to_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert starts() == []


def test_without_a_container_what_the_system_has_available_counts(tmp_path):
    assert available_memory(root=system(tmp_path)) == 5 * GIB
    assert available_memory(root=system(tmp_path, cgroup="0::/\n")) == 5 * GIB  # the root group has no limit


@pytest.mark.parametrize("path", ["box/inner", ""])
def test_a_container_of_version_two_may_have_no_more_than_its_limit(tmp_path, path):
    group = f"sys/fs/cgroup/{path}".rstrip("/")
    files = {
        f"{group}/memory.max": 2 * GIB,
        f"{group}/memory.current": GIB,
        f"{group}/memory.stat": f"anon 1\ninactive_file {GIB // 2}\n",
    }
    assert available_memory(root=system(tmp_path, cgroup=f"0::/{path}\n", **files)) == 1.5 * GIB
    assert available_memory(root=system(tmp_path, **{f"{group}/memory.max": "max"})) == 5 * GIB


def test_the_limit_of_an_outer_group_binds_the_inner_ones(tmp_path):
    files = {"sys/fs/cgroup/box/memory.max": GIB, "sys/fs/cgroup/box/inner/memory.max": 3 * GIB}
    assert available_memory(root=system(tmp_path, cgroup="0::/box/inner\n", **files)) == GIB


def test_a_container_of_version_one_may_have_no_more_than_its_limit(tmp_path):
    group = "sys/fs/cgroup/memory/docker/abc"
    files = {
        f"{group}/memory.limit_in_bytes": 3 * GIB,
        f"{group}/memory.usage_in_bytes": 2 * GIB,
        f"{group}/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB}\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
    }
    lines = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n"
    assert available_memory(root=system(tmp_path, cgroup=lines, **files)) == 2 * GIB
    # Seen from inside, the group is the mounted root.
    inside = {name.replace("/docker/abc", ""): text for name, text in list(files.items())[:3]}
    shutil.rmtree(tmp_path / group)
    assert available_memory(root=system(tmp_path, cgroup=lines, **inside)) == 2 * GIB


def test_a_group_over_its_limit_has_nothing_left(tmp_path):
    files = {"sys/fs/cgroup/memory.max": GIB, "sys/fs/cgroup/memory.current": 2 * GIB}
    assert available_memory(root=system(tmp_path, cgroup="0::/\n", **files)) == 0


def test_a_jetson_is_told_its_jetpack_and_what_it_lacks(tmp_path):
    assert notes(root=tmp_path) == []
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
    system(tmp_path, **{"etc/nv_tegra_release": release})
    first, *rest = notes(root=tmp_path)
    assert first == "Jetson Linux 36.4.3 (JetPack 6)"
    assert [line.split()[0] for line in rest[:2]] == ["CUDA", "TensorRT"]
    assert "not installed" in rest[0]
    cuda = {"usr/local/cuda/version.json": '{"cuda": {"version": "12.6.68"}}', "usr/lib/a/libnvinfer.so.10": ""}
    assert notes(root=system(tmp_path, **cuda))[1] == "CUDA 12.6.68"
    assert "TensorRT" not in " ".join(notes(root=tmp_path))
    assert "for this JetPack from the Jetson AI Lab index" in notes(root=tmp_path)[-1]
    there = notes(providers=["CUDAExecutionProvider"], root=tmp_path)
    assert "onnxruntime-gpu" not in " ".join(there), "what is there is not asked for"
    system(tmp_path, **{"etc/nv_tegra_release": "something new", "usr/local/cuda/version.json": "[]"})
    assert notes(root=tmp_path)[0] == "Jetson Linux of an unknown release"


@pytest.mark.parametrize("engine", SELF_TESTS)
def test_each_engine_computes_here_what_it_computed_where_the_self_test_was_made(engine):
    done = self_test(engine)
    assert done.ok
    assert (done.digest, done.problem) == (done.expected, None)
    assert 0 < done.ms < 60_000


def test_the_stored_self_test_is_what_its_script_makes(tmp_path, shipped):
    make(tmp_path)
    assert (tmp_path / DIGESTS).read_text() == (shipped / DIGESTS).read_text()
    made, stored = (onnx.load(folder / SELF_TESTS["onnxruntime"]) for folder in (tmp_path, shipped))
    assert made.graph == stored.graph  # the bytes around it name the version of onnx
    assert read(tmp_path / SELF_TESTS["ai_edge_litert"]) == read(shipped / SELF_TESTS["ai_edge_litert"])


def test_both_formats_compute_the_same_levels(shipped):
    assert len(set(json.loads((shipped / DIGESTS).read_text()).values())) == 1


def test_one_weight_changed_in_an_onnx_file_is_noticed(shipped):
    path = shipped / SELF_TESTS["onnxruntime"]
    model = onnx.load(path)
    kernel = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4)
    kernel.raw_data = bytes([kernel.raw_data[0] ^ 0x80]) + kernel.raw_data[1:]
    onnx.save(model, path)
    done = self_test("onnxruntime", folder=shipped)
    assert not done.ok
    assert done.digest != done.expected
    assert "1 threads" in done.problem


def test_one_weight_changed_in_a_tflite_file_is_noticed(shipped):
    source = onnx.load(shipped / SELF_TESTS["onnxruntime"]).graph.initializer
    kernel = next(numpy_helper.to_array(t) for t in source if t.dims[:] == [16, 4, 3, 3])
    path = shipped / SELF_TESTS["ai_edge_litert"]
    model, contract = read(path)
    model = bytearray(model)
    model[model.index(np.ascontiguousarray(kernel.transpose(0, 2, 3, 1)).tobytes())] ^= 0x80
    path.write_bytes(appended(bytes(model), contract))
    done = self_test("ai_edge_litert", folder=shipped)
    assert not done.ok
    assert done.digest != done.expected


def test_a_damaged_self_test_is_not_ok_and_says_why(shipped):
    path = shipped / SELF_TESTS["ai_edge_litert"]
    path.write_bytes(path.read_bytes()[:-1])
    done = self_test("ai_edge_litert", folder=shipped)
    assert (done.ok, done.digest) == (False, "")
    assert "not as it was written" in done.problem


def test_a_self_test_needs_an_engine_that_is_there(monkeypatch):
    with pytest.raises(UnknownName, match="onnxruntime"):
        self_test("onxruntime")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingLibrary, match="pip install"):
        self_test("onnxruntime")
