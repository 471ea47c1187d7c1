"""The models of a bench: opened on the engines asked for, each with the one it is held against, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from runtime.cost import loaded
from runtime.errors import BadOption, Error
from runtime.session import Session
from runtime.shipped import located

__all__ = ["Contestant", "Problems", "opened", "reference"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Contestant:
    """A model, opened on the provider that was asked for."""

    model: str
    asked: str
    path: Path
    session: Session
    load: float  # seconds

    @property
    def label(self) -> str:
        """For a message."""
        return f"{self.model} on {self.session.ran.provider}"


@dataclass
class Problems:
    """What could not be measured; the rest goes on."""

    found: list[dict[str, str]] = field(default_factory=list)
    errors: list[Error] = field(default_factory=list)

    def tried(self, label: str, step: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | None:
        """What the step gives, or None, its problem noted."""
        try:
            return step(*args, **options)
        except Error as error:
            self.errors.append(error)
            self.found.append({"model": label, "problem": str(error)})
            return None


def opened(
    models: Iterable[str],
    *,
    providers: Sequence[str],
    threads: int | None,
    problems: Problems,
    said: Callable[[str], object],
) -> list[Contestant]:
    """Every model on every provider that takes it; two files of one name keep their folders."""
    models = list(dict.fromkeys(models))
    names = [Path(model).name for model in models]
    found = []
    for model, name in zip(models, names, strict=True):
        label = name if names.count(name) == 1 else model
        for provider in dict.fromkeys(providers):
            said(f"opening {model} on {provider}")
            got = problems.tried(f"{label} on {provider}", loaded, model, provider=provider, threads=threads)
            if got is not None:
                session, load = got
                found.append(Contestant(label, provider, located(model, provider=provider), session, load))
    return found


def reference(able: Sequence[Contestant], against: str | None) -> Callable[[Contestant], Contestant | None]:
    """Which other model's answer each one is held against: the one named, or the first float one of its network."""
    if against is not None:
        named = [one for one in able if against in (one.model, str(one.path))]
        if not named:
            raise BadOption(
                "--against", against, f"one that runs: {', '.join(one.model for one in able) or 'none does'}"
            )
        return lambda one: None if one is named[0] else named[0]

    def first_float(one: Contestant) -> Contestant | None:
        floats = (
            other for other in able if other.session.contract.bits == "float" and _network(other) == _network(one)
        )
        found = next(floats, None)
        return None if found is one else found

    return first_float


def _network(one: Contestant) -> tuple[str, dict[str, object]]:
    contract = one.session.contract
    return contract.network, dict(contract.options)
