"""Files of named arrays (.npz), read so that nothing in them runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import UnreadableFile

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_arrays"]


def read_arrays(path: str | Path, *, kind: str) -> dict[str, np.ndarray[Any, Any]]:
    """Every array of a file, by name; `kind` is what it is said not to be where that fails."""
    import numpy as np  # here, so that no command's --help waits for it

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read ({error.strerror})", f"name a {kind} that exists") from None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    # Damage surfaces anywhere inside the readers of zip and .npy, as whatever error they meet; it always means this.
    except Exception:
        remedy = (
            "it is cut short, damaged or of another kind: fetch or write it again (.h5 and .keras files are never read)"
        )
        raise UnreadableFile(path, f"is no {kind} of qk-unet", remedy) from None
