"""What a search for mixed bits must keep to, and how people write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.errors import BadOption

__all__ = ["Budget"]

FEWEST, MOST = 2, 8  # bits
UNITS = {"": 1, "k": 1e3, "m": 1e6, "ki": 2**10, "mi": 2**20}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bytes of every file, dB lost against float, mean bits of a weight in a multiply-accumulate; None: whatever."""

    max_size: int | None = None
    max_drop: float | None = None
    max_mac_bits: float | None = None

    @classmethod
    def read(cls, *, max_size: str | None, max_drop: str | None, max_mac_bits: float | None) -> Budget:
        """From a command line: "500kB" is 500,000 bytes, "0.3dB" as good as "0.3"."""
        if (max_size, max_drop, max_mac_bits) == (None, None, None):
            raise BadOption("--search", "without a budget", "--max-size, --max-drop or --max-mac-bits beside it")
        size = None if max_size is None else _number("--max-size", max_size, r"(k|M|Ki|Mi|)B?", "a size such as 500kB")
        drop = None if max_drop is None else _number("--max-drop", max_drop, r"()(?:dB)?", "a drop such as 0.3dB")
        if max_mac_bits is not None and not FEWEST <= max_mac_bits <= MOST:  # nor is NaN between them
            raise BadOption("--max-mac-bits", max_mac_bits, f"a number from {FEWEST} to {MOST}")
        return cls(max_size=None if size is None else int(size), max_drop=drop, max_mac_bits=max_mac_bits)


def _number(option: str, text: str, unit: str, wanted: str) -> float:
    found = re.fullmatch(rf"\s*(\d{{1,9}}(?:\.\d{{1,6}})?)\s*{unit}\s*", text, re.IGNORECASE)
    if not found:
        raise BadOption(option, text, wanted)
    return float(found[1]) * UNITS[found[2].lower()]
