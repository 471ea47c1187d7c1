"""What a machine can say of the energy it takes: the files of sysfs, and NVIDIA's library.

- A Jetson, or any board with INA3221 chips: the rails, watts now. Where one rail feeds the whole module (VDD_IN, or
  POM_5V_IN on a Nano) it is taken alone; elsewhere all of them are added up, and one that feeds another counts twice.
  Linux' own driver tells rails without a name where the device tree gives none: they are told by their channel.
- RAPL, Linux' powercap: joules of the processor's packages and of the memory beside them, counted since some moment.
  The parts of a package are in it, and `psys` holds the packages: neither is added.
- Other power sensors of hwmon: watts now, graphics cards left out.
- NVML, an NVIDIA card in a PC: joules of the board, or watts now where it does not count them.

Nothing is reckoned from a data sheet, and no power of an idle machine is taken off.
"""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["Counted", "Meter", "Meters", "Sampled", "meters"]

ROOT = Path("/")
WHOLE = ("VDD_IN", "POM_5V_IN")
UNUSED = ("", "NC")  # how device trees name a channel that measures nothing
CARDS = ("amdgpu", "i915", "nouveau", "radeon", "xe")
METER = "power_meter"  # ACPI's: the whole machine
GPU = ("cuda", "tensorrt")


@dataclass(frozen=True)
class Sampled:
    """Something that says how many watts it takes now."""

    counts: str
    watts: Callable[[], float]


@dataclass(frozen=True)
class Counted:
    """Something that says how many joules it has taken since some moment, and begins anew after `wraps` of them."""

    counts: str
    joules: Callable[[], float]
    wraps: float = math.inf


Meter = Sampled | Counted


@dataclass(frozen=True)
class Meters:
    """What measures a run here; or nothing, and why. `note` is what else a reader of the figure must know."""

    found: tuple[Meter, ...]
    why: str = ""
    note: str = ""


def meters(provider: str = "cpu", *, root: Path = ROOT) -> Meters:
    """The meters that count what a run on that provider takes."""
    if found := _ina3221(root):
        return Meters(found)
    processor = _processor(root)
    if provider not in GPU:
        return processor
    card = _nvml()
    if not card.found:
        return card
    note = "" if processor.found else f"the processor is not counted ({processor.why})"
    return Meters((*card.found, *processor.found), note=note)


def _processor(root: Path) -> Meters:
    counters, why = _rapl(root)
    sensors = () if counters else _sensors(root)
    return Meters(counters or sensors, why)


def _ina3221(root: Path) -> tuple[Meter, ...]:
    """The rail of the whole module, or all rails; their chips stand in one folder or, with older kernels, another."""
    rails = [*_rails(root), *_older(root)]
    whole = [rail for rail in rails if rail.counts in WHOLE]
    return tuple(whole[:1] or rails)


def _rails(root: Path) -> Iterator[Sampled]:
    """Millivolts and milliamperes, channels 1 to 3; beyond them stand voltages of shunts and sums."""
    chips = sorted((root / "sys/bus/i2c/drivers").glob("ina3221*/*/hwmon/hwmon*"))
    chips = chips or [chip for chip in _chips(root) if _text(chip / "name") == "ina3221"]
    for chip in chips:
        for channel in (1, 2, 3):
            named = chip / f"in{channel}_label"
            label = _text(named) if named.exists() else f"ina3221 {chip.name} channel {channel}"
            volts, amperes = chip / f"in{channel}_input", chip / f"curr{channel}_input"
            off = _text(chip / f"in{channel}_enable") == "0"  # it has nothing to tell, and reading it is an error
            if label not in UNUSED and not off and volts.exists() and amperes.exists():
                yield Sampled(label, partial(_product, volts, amperes))


def _older(root: Path) -> Iterator[Sampled]:
    """Milliwatts, as NVIDIA's own driver told them up to JetPack 4."""
    for chip in sorted((root / "sys/bus/i2c/drivers").glob("ina3221*/*/iio*")):
        for power in sorted(chip.glob("in_power*_input")):
            label = _text(chip / f"rail_name_{re.sub(r'[^0-9]', '', power.name)}")
            if label not in UNUSED:
                yield Sampled(label, partial(_number, power, 1e-3))


def _rapl(root: Path) -> tuple[tuple[Meter, ...], str]:
    """Counters of microjoules, or why there are none."""
    found: list[Meter] = []
    for domain in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        name, counter = _text(domain / "name"), domain / "energy_uj"
        if not (name.startswith("package") or name == "dram"):
            continue
        try:
            _number(counter, 1e-6)
            wraps = _number(domain / "max_energy_range_uj", 1e-6)
        except PermissionError:
            return (), f"only root may read {counter}: run it with sudo"
        except (OSError, ValueError) as error:
            return (), f"{counter} cannot be read ({getattr(error, 'strerror', None) or error})"
        found.append(Counted(f"RAPL {name}", partial(_number, counter, 1e-6), wraps))
    return tuple(found), "" if found else "this machine has no power sensor that Linux can read"


def _sensors(root: Path) -> tuple[Meter, ...]:
    """Microwatts; the machine's own meter alone if there is one."""
    found: dict[str, Meter] = {}
    for chip in _chips(root):
        name = _text(chip / "name")
        if name in CARDS:
            continue
        for power in sorted([*chip.glob("power*_input"), *chip.glob("power*_average")]):
            channel = power.name.partition("_")[0]
            label = " ".join(filter(None, (name, _text(chip / f"{channel}_label") or channel)))
            if label not in found and _readable(power):
                found[label] = Sampled(label, partial(_number, power, 1e-6))
    whole = [meter for label, meter in found.items() if label.startswith(METER)]
    return tuple(whole[:1] or found.values())


def _nvml() -> Meters:
    """The first card that CUDA sees."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return Meters((), "the card is read with NVIDIA's library: pip install nvidia-ml-py")
    try:
        nvml.nvmlInit()
        card = _card(nvml)
        name = nvml.nvmlDeviceGetName(card)
    except (nvml.NVMLError, ValueError) as error:
        return Meters((), f"NVIDIA's library finds no card ({error})")
    name = name.decode() if isinstance(name, bytes) else str(name)
    for kind, ask in (
        (Counted, nvml.nvmlDeviceGetTotalEnergyConsumption),  # since Volta, in millijoules
        (Sampled, nvml.nvmlDeviceGetPowerUsage),  # in milliwatts
    ):
        read = partial(_asked, ask, card, nvml.NVMLError)
        try:
            read()
        except OSError as error:
            why = str(error)
            continue
        return Meters((kind(f"NVML {name}", read),))
    return Meters((), f"{name} does not tell its power ({why})")


def _card(nvml: Any) -> Any:
    """By the number, or the long name, that CUDA_VISIBLE_DEVICES begins with."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip() or "0"
    if first.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    return nvml.nvmlDeviceGetHandleByIndex(int(first))


def _asked(ask: Callable[[Any], float], card: Any, refusal: type[Exception]) -> float:
    try:
        return float(ask(card)) * 1e-3
    except refusal as error:
        raise OSError(str(error)) from None


def _chips(root: Path) -> list[Path]:
    return sorted((root / "sys/class/hwmon").glob("hwmon*"))


def _product(volts: Path, amperes: Path) -> float:
    return _number(volts, 1e-3) * _number(amperes, 1e-3)


def _number(path: Path, unit: float) -> float:
    return int(path.read_text()) * unit


def _readable(path: Path) -> bool:
    try:
        return _number(path, 1) >= 0
    except (OSError, ValueError):
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
