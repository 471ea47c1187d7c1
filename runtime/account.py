"""What is said of a frame that was made: in the picture's file, and to whoever asked for it."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from runtime.job import Job, Result, windows_of
from runtime.session import Session

__all__ = ["description", "result", "software"]


def software() -> str:
    """This project and its version."""
    try:
        return f"qk-unet {importlib.metadata.version('qk-unet')}"
    except importlib.metadata.PackageNotFoundError:  # run from a folder
        return "qk-unet unknown"


def description(job: Job, session: Session, *, strength: float) -> str:
    """How the picture was made, in one line of ASCII."""
    contract, ran = session.contract, session.ran
    return (
        f"{software()}: {contract.network} {contract.bits} {session.digest[:12]}, "
        f"ratio {job.ratio.value:.4g} ({job.ratio.why}), strength {strength:g}, "
        f"{ran.engine} {ran.provider}"
    )


def result(path: str | Path, output: str | Path, job: Job, session: Session) -> Result:
    """What is said of a frame that is done."""
    made = job.raw.mosaic if job.streams else job.pixels
    return Result(
        input=str(path),
        output=str(output),
        ratio=round(job.ratio.value, 4),
        why=job.ratio.why,
        height=None if made is None else made.shape[0],
        width=None if made is None else made.shape[1],
        windows=windows_of(job.plan),
        bits=session.contract.bits,
        peak=job.peak,
        engine=session.ran.engine,
        provider=session.ran.provider,
        model=session.digest,
        seconds={key: round(value, 4) for key, value in job.seconds.items()},
    )
