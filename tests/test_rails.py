"""Meters on made-up machines: a folder in place of sysfs, a module in place of NVIDIA's library."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.rails import Counted, Sampled, meters

EXACT = 1e-9  # of a watt or joule: float64
NEW = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
OLD = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
RAPL = "sys/class/powercap/intel-rapl:0"


def machine(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def rail(folder, channel, label, millivolts, milliamperes):
    return {
        f"{folder}/in{channel}_label": label,
        f"{folder}/in{channel}_input": millivolts,
        f"{folder}/curr{channel}_input": milliamperes,
    }


def card(**answers):
    """A library of NVIDIA's that answers so; an exception is raised."""

    class NVMLError(Exception):
        pass

    def asked(name):
        def answer(*_):
            if isinstance(answers[name], str):
                raise NVMLError(answers[name])
            return answers[name]

        return answer

    calls = {
        "nvmlDeviceGetTotalEnergyConsumption": asked("energy"),
        "nvmlDeviceGetPowerUsage": asked("power"),
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetName": lambda handle: f"Card {handle}",
    }
    return SimpleNamespace(NVMLError=NVMLError, nvmlInit=asked("init"), **calls)


def watts(found):
    return sum(meter.watts() for meter in found.found)


def test_the_rail_of_the_whole_module_is_taken_alone(tmp_path):
    files = rail(NEW, 1, "VDD_IN", 5000, 1200) | rail(NEW, 2, "VDD_CPU_GPU_CV", 5000, 400)
    found = meters(root=machine(tmp_path, files))
    assert [meter.counts for meter in found.found] == ["VDD_IN"]
    assert watts(found) == pytest.approx(6.0, abs=EXACT)


def test_without_one_all_rails_are_added_up_and_channels_of_nothing_left_out(tmp_path):
    second = NEW.replace("1-0040", "1-0041").replace("hwmon3", "hwmon4")
    files = {
        **rail(NEW, 1, "VDD_GPU_SOC", 850, 2000),
        **rail(NEW, 2, "VDD_CPU_CV", 800, 1000),
        **rail(NEW, 3, "NC", 5000, 9000),
        **{f"{NEW}/in7_label": "sum of shunt voltages", f"{NEW}/in7_input": 760, f"{NEW}/curr4_input": 360},
        **rail(second, 2, "VIN_SYS_5V0", 5000, 500),
    }
    found = meters(root=machine(tmp_path, files))
    assert [meter.counts for meter in found.found] == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    assert watts(found) == pytest.approx(1.7 + 0.8 + 2.5, abs=EXACT)


def test_rails_of_older_kernels_are_read_in_milliwatts(tmp_path):
    files = {f"{OLD}/rail_name_0": "POM_5V_IN", f"{OLD}/in_power0_input": 4321}
    files |= {f"{OLD}/rail_name_1": "POM_5V_GPU", f"{OLD}/in_power1_input": 999}
    found = meters(root=machine(tmp_path, files))
    assert [meter.counts for meter in found.found] == ["POM_5V_IN"]
    assert watts(found) == pytest.approx(4.321, abs=EXACT)


def test_a_chip_that_stands_only_among_the_sensors_is_found_there(tmp_path):
    chip = "sys/class/hwmon/hwmon0"
    found = meters(root=machine(tmp_path, {f"{chip}/name": "ina3221", **rail(chip, 1, "VDD_IN", 5000, 1000)}))
    assert watts(found) == pytest.approx(5.0, abs=EXACT)


def test_rails_that_have_no_names_are_told_by_their_channels_and_those_turned_off_left_out(tmp_path):
    second = NEW.replace("1-0040", "1-0041").replace("hwmon3", "hwmon4")
    files = rail(NEW, 1, "", 5000, 1000) | rail(NEW, 2, "", 5000, 200) | rail(second, 1, "", 12000, 100)
    files = {name: text for name, text in files.items() if not name.endswith("_label")}
    files |= {f"{NEW}/in2_enable": 0, f"{second}/in1_enable": 1}
    found = meters(root=machine(tmp_path, files))
    assert [meter.counts for meter in found.found] == ["ina3221 hwmon3 channel 1", "ina3221 hwmon4 channel 1"]
    assert watts(found) == pytest.approx(5.0 + 1.2, abs=EXACT)


def test_packages_and_their_memory_are_counted_and_what_is_in_them_is_not(tmp_path):
    domains = {"": "package-0", ":0": "core", ":1": "dram"}
    files = {f"{RAPL}{end}/name": name for end, name in domains.items()} | {f"{RAPL[:-1]}1/name": "psys"}
    for end in (*domains, "x"):
        folder = f"{RAPL}{end}" if end != "x" else f"{RAPL[:-1]}1"
        files |= {f"{folder}/energy_uj": 3_000_000, f"{folder}/max_energy_range_uj": 262_143_000_000}
    found = meters(root=machine(tmp_path, files))
    assert [meter.counts for meter in found.found] == ["RAPL package-0", "RAPL dram"]
    assert all(isinstance(meter, Counted) for meter in found.found)
    assert [meter.joules() for meter in found.found] == pytest.approx([3.0, 3.0], abs=EXACT)
    assert found.found[0].wraps == pytest.approx(262_143, abs=1e-3)


def test_counters_that_only_root_may_read_are_said_to_be_so(tmp_path, monkeypatch):
    machine(tmp_path, {f"{RAPL}/name": "package-0", f"{RAPL}/energy_uj": 1, f"{RAPL}/max_energy_range_uj": 9})
    read = Path.read_text

    def refusing(path, *args, **options):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", refusing)
    found = meters(root=tmp_path)
    assert found.found == ()
    assert "only root" in found.why
    assert "sudo" in found.why


def test_other_sensors_are_read_in_microwatts_and_cards_left_out(tmp_path):
    files = {"sys/class/hwmon/hwmon0/name": "amdgpu", "sys/class/hwmon/hwmon0/power1_average": 9_000_000}
    files |= {"sys/class/hwmon/hwmon1/name": "ina226", "sys/class/hwmon/hwmon1/power1_input": 2_500_000}
    assert watts(meters(root=machine(tmp_path, files))) == pytest.approx(2.5, abs=EXACT)
    files = {"sys/class/hwmon/hwmon2/name": "power_meter", "sys/class/hwmon/hwmon2/power1_average": 70_000_000}
    found = meters(root=machine(tmp_path, files))
    assert [meter.counts for meter in found.found] == ["power_meter power1"]


def test_a_machine_without_sensors_says_why_nothing_is_measured(tmp_path):
    found = meters(root=tmp_path)
    assert (found.found, found.why) == ((), "this machine has no power sensor that Linux can read")


def test_a_run_on_a_card_counts_the_card_and_what_of_the_processor_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", card(init=None, energy=5000, power=7000))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    alone = meters("cuda", root=tmp_path)
    assert [meter.counts for meter in alone.found] == ["NVML Card 2"]
    assert alone.found[0].joules() == pytest.approx(5.0, abs=EXACT)
    assert "processor is not counted" in alone.note
    files = {f"{RAPL}/name": "package-0", f"{RAPL}/energy_uj": 1, f"{RAPL}/max_energy_range_uj": 9}
    both = meters("tensorrt", root=machine(tmp_path, files))
    assert [meter.counts for meter in both.found] == ["NVML Card 2", "RAPL package-0"]
    assert both.note == ""
    assert [meter.counts for meter in meters("cpu", root=tmp_path).found] == ["RAPL package-0"]


def test_a_card_that_counts_no_joules_is_sampled_and_one_that_tells_nothing_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", card(init=None, energy="Not Supported", power=7000))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-abc")
    (sampled,) = meters("cuda", root=tmp_path).found
    assert isinstance(sampled, Sampled)
    assert sampled.counts == "NVML Card MIG-abc"
    assert sampled.watts() == pytest.approx(7.0, abs=EXACT)
    for library in (
        card(init=None, energy="Not Supported", power="Not Supported"),
        card(init="Driver Not Loaded", energy=1, power=1),
    ):
        monkeypatch.setitem(sys.modules, "pynvml", library)
        none = meters("cuda", root=tmp_path)
        assert none.found == ()
        assert "Not" in none.why
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install nvidia-ml-py" in meters("cuda", root=tmp_path).why
