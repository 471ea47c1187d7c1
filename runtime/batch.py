"""Many frames, stage beside stage: while one is enhanced, the next is decoded and the last one written.

A file that fails is one failed file. What is done is skipped when a run is begun again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from runtime.account import result
from runtime.decode import Decoder
from runtime.enhancing import Enhancer
from runtime.errors import BadOption, Error, FileError, UnreadableFile
from runtime.inputs import Item, spare
from runtime.job import Job, Result
from runtime.ledger import Ledger
from runtime.raw import Raw

__all__ = ["Overwrite", "Planned", "run"]

Overwrite = Literal["never", "newer", "always"]
Planned = Callable[[Item, Job], None]


def run(
    items: Sequence[Item],
    out: str | Path,
    enhancer: Enhancer,
    *,
    overwrite: Overwrite = "never",
    jobs: int = 2,
    decoder: Decoder | None = None,
    planned: Planned = lambda item, job: None,
) -> Iterator[Result]:
    """Enhance them all, and say of each what became of it, in order.

    `jobs` is how many frames are in flight; with 1 there is never more than one in memory. `decoder` is one that has
    been started already. `planned` is told of every plan before it is carried out.
    """
    if jobs < 1:
        raise BadOption("--jobs", jobs, "1 or more")
    outputs = [item.output for item in items]
    allowed = "a folder or a format that leaves the RAW files as they are"
    spare((item.input for item in items), outputs, allowed=allowed)
    own = nullcontext(decoder) if decoder else Decoder(keep=jobs > 1)  # who brings one needs it again, and ends it
    with Ledger(out, holding={path.parent for path in outputs}) as ledger, own as started:
        batch = _Batch(ledger, started, enhancer, overwrite, beside=jobs > 1, planned=planned)
        yield from batch.one_by_one(items) if jobs == 1 else batch.overlapped(items)


@dataclass
class _Begun:
    """A file that is read, or the reason why it will not be enhanced."""

    item: Item
    key: str = ""
    raw: Raw | None = None
    job: Job | None = None
    seconds: float = 0.0
    result: Result | None = None


class _Batch:
    """The three stages of a run; each turns an `Error`, or memory that is not there, into a result."""

    def __init__(
        self,
        ledger: Ledger,
        decoder: Decoder,
        enhancer: Enhancer,
        overwrite: Overwrite,
        *,
        beside: bool,
        planned: Planned,
    ) -> None:
        self.ledger, self.decoder, self.enhancer = ledger, decoder, enhancer
        self.overwrite, self.beside, self.planned = overwrite, beside, planned

    def one_by_one(self, items: Sequence[Item]) -> Iterator[Result]:
        """One after the other."""
        for item in items:
            yield self.write(self.infer(self.read(item)))

    def overlapped(self, items: Sequence[Item]) -> Iterator[Result]:
        """The next one is read and the last one written meanwhile."""
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            try:
                ahead: list[Future[_Begun]] = [reader.submit(self.read, item) for item in items[:1]]
                behind: list[Future[Result]] = []
                for following in [*items[1:], None]:
                    begun = ahead.pop().result()
                    if following is not None:
                        ahead.append(reader.submit(self.read, following))
                    begun = self.infer(begun)
                    if behind:
                        yield behind.pop().result()
                    behind.append(writer.submit(self.write, begun))
                    del begun  # the writer's now: it would keep a picture alive
                yield from (future.result() for future in behind)
            except BaseException:
                self.decoder.close()  # or the reader would be waited for
                raise

    def read(self, item: Item) -> _Begun:
        """Decode, unless it is done already."""
        begun, start = _Begun(item), time.perf_counter()
        try:
            begun.key = self._key(item.input)
            if kept := self._kept(item, begun.key):
                begun.result = Result(input=str(item.input), output=str(item.output), status=kept)
            else:
                begun.raw = self.decoder.read(item.input)
        except (Error, MemoryError) as error:
            begun.result = _failed(item, error)
        begun.seconds = time.perf_counter() - start
        return begun

    def infer(self, begun: _Begun) -> _Begun:
        """Plan and enhance."""
        if begun.raw is None:
            return begun
        try:
            # Beside it: the picture being written, the frame being read, and its reader.
            others = 10 * begun.raw.mosaic.size + (64 << 20) if self.beside else 0
            item = begun.item
            begun.job = self.enhancer.prepare(
                begun.raw, beside=others, path=item.input, folder=item.output.parent, at_once=not self.beside
            )
            begun.job.seconds["decode"] = begun.seconds
            self.planned(item, begun.job)
            self.enhancer.infer(begun.job)
        except (Error, MemoryError) as error:
            begun.job, begun.result = None, _failed(begun.item, error)
        begun.raw = None
        return begun

    def write(self, begun: _Begun) -> Result:
        """Encode, and note that it is done."""
        item, job = begun.item, begun.job
        if job is None:
            return begun.result or Result(input=str(item.input), status="failed")
        try:
            self.enhancer.save(job, item.output)
            self.ledger.note(begun.key, item.output)
        except (Error, MemoryError) as error:
            return _failed(item, error)
        return result(item.input, item.output, job, self.enhancer.session)

    def _key(self, path: Path) -> str:
        sha = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    sha.update(block)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UnreadableFile(path, f"cannot be read ({reason})", "name a RAW file") from None
        return f"{sha.hexdigest()} {self.enhancer.session.digest} {self.enhancer.wish.digest()}"

    def _kept(self, item: Item, key: str) -> str | None:
        """Why the picture that is there stays: it is "done", or "kept" since nobody said it may go."""
        if self.overwrite == "always" or not os.path.exists(item.output):  # noqa: PTH110 (Path's own may raise)
            return None
        if self.ledger.done(key, item.output):
            return "skipped"
        if self.overwrite == "newer" and item.input.stat().st_mtime > item.output.stat().st_mtime:
            return None
        return "kept"


def _failed(item: Item, error: Error | MemoryError) -> Result:
    if isinstance(error, MemoryError):
        remedy = "close other programs, or hold it to less with --max-memory"
        error = FileError(item.input, "takes more memory than there is", remedy)
    return replace(Result(input=str(item.input)), status="failed", error=str(error))
