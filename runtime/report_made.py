"""How a picture was made, read back from the line that `qk-run enhance` leaves in its file (`account.py`)."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from runtime.amplifier import AMPLIFIED
from runtime.report_data import Judged

__all__ = ["Made", "made"]

DESCRIPTION, SOFTWARE = 270, 305  # EXIF's tags
# Of a sweep the picture is a sheet of many: it was made at no one ratio.
LINE = re.compile(
    r"(?P<software>qk-unet \S+): .* (?P<digest>\S+), "
    r"ratio (?P<ratio>\S+) \((?!one of a sweep).*\), strength (?P<strength>\S+), .*"
)


@dataclass(frozen=True)
class Made:
    """What the line tells; "" is what a picture has that tells nothing."""

    digest: str = ""  # its first letters
    ratio: str = ""  # four digits
    strength: str = ""

    def is_of(self, line: Judged) -> bool:
        """Whether that line of an evaluation was made the same way; of the frame it says nothing."""
        same = bool(self.digest) and line.who.digest.startswith(self.digest)
        same = same and f"{line.who.strength:g}" == self.strength
        amplified = self.strength == "0" and line.who.model == AMPLIFIED  # nothing of the network is left in it
        return (same or amplified) and f"{line.ratio:.4g}" == self.ratio


def made(path: Path) -> Made:
    """What the file tells; nothing where another program wrote it, or changed it and says so."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures that are large or of odd tags
            with Image.open(path) as image:
                tags = image.getexif()
    except Exception:  # decoders fail in every way that reading bytes can; the viewer says so where it matters
        return Made()
    told = LINE.fullmatch(str(tags.get(DESCRIPTION, "")))
    if told is None or told["software"] != tags.get(SOFTWARE):
        return Made()
    return Made(told["digest"], told["ratio"], told["strength"])
