"""What judges sent back: read, checked against the key, and turned into answers about models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import AlteredFile, Error, FileError
from runtime.survey_key import RESULT, Key, load

__all__ = ["Answer", "Answers", "read"]

CHOICES = ("left", "right", "tie")
LONGEST = 60  # letters of a judge's name


@dataclass(frozen=True)
class Answer:
    """One judge's verdict on the pictures of two models."""

    judge: str
    scene: str
    left: str
    right: str
    choice: str
    again: bool  # whether this judge had answered it before

    @property
    def preferred(self) -> str | None:
        """The model, or None for a tie."""
        return {"left": self.left, "right": self.right}.get(self.choice)


@dataclass(frozen=True)
class Answers:
    """All answers that could be read, what is to be known about them, and the files that could not."""

    answers: tuple[Answer, ...]
    notes: tuple[str, ...]
    problems: tuple[Error, ...]


@dataclass(frozen=True)
class _File:
    path: Path
    judge: str
    session: str
    answers: tuple[tuple[str, str, str], ...]  # left, right, choice
    asked: int


def read(paths: Iterable[str | Path], *, key: Key) -> Answers:
    """The answers in the files of one survey; a file that cannot be used does not stop the others, unless none can."""
    files: list[_File] = []
    problems: list[Error] = []
    for path in paths:
        try:
            files.append(_file(Path(path), key))
        except FileError as error:
            problems.append(error)
    if not files and problems:
        raise problems[0]
    notes: list[str] = []
    kept = _once(files, notes)
    answers = [answer for judge, some in _judges(kept, notes).items() for answer in _answers(judge, some, key)]
    return Answers(tuple(answers), tuple(notes), tuple(problems))


def _file(path: Path, key: Key) -> _File:
    """One file, every field of it checked."""
    found = load(path, RESULT, "a file of answers that the page saved")
    if found.get("survey") != key.survey:
        problem = f"answers another survey, {str(found.get('survey'))[:20]!r}, and the key is of {key.survey!r}"
        raise FileError(path, problem, "name the key that lay beside the page it was answered on")
    try:
        trials, answers = found["trials"], found["answers"]
        choices = [_choice(answer) for answer in answers]
        sides = [_pair(trial, key) for trial in trials]
        judge, session = found["judge"], found["session"]
        if isinstance(judge, str) and isinstance(session, str) and session and len(choices) <= len(sides):
            told = tuple((*pair, choice) for pair, choice in zip(sides, choices, strict=False))
            return _File(path, _plain(judge), session, told, len(sides))
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    raise AlteredFile(path, "holds answers that were changed", "use the file as the page saved it")


def _choice(answer: Mapping[str, Any]) -> str:
    choice, seconds = answer["choice"], float(answer["seconds"])
    if choice not in CHOICES or not 0 <= seconds < math.inf:
        raise ValueError(f"{answer!r} is no answer")
    return str(choice)


def _pair(trial: Any, key: Key) -> tuple[str, str]:
    """The ids at the left and at the right: of one scene, of two models."""
    left, right = trial
    (one, model), (other, against) = key.pictures[left], key.pictures[right]
    if one != other or model == against:
        raise ValueError(f"{trial!r} is no comparison")
    return str(left), str(right)


def _plain(name: str) -> str:
    """A name in one line of text that can be printed."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())[:LONGEST]


def _once(files: list[_File], notes: list[str]) -> list[_File]:
    """Of files of one sitting, for example before and after a pause, the one with most answers."""
    best: dict[str, _File] = {}
    for file in files:
        other = best.get(file.session)
        keep, drop = (file, other) if other is None or len(file.answers) > len(other.answers) else (other, file)
        best[file.session] = keep
        if drop is not None:
            whose = f"are of one sitting{f' of {keep.judge}' if keep.judge else ''}"
            notes.append(f"{str(drop.path)!r} and {str(keep.path)!r} {whose}: only the second is counted")
    return list(best.values())


def _judges(files: list[_File], notes: list[str]) -> dict[str, list[_File]]:
    """The files by judge: who gave no name is a judge of their own."""
    found: dict[str, list[_File]] = {}
    unnamed = 0
    for file in files:
        unnamed += not file.judge
        found.setdefault(file.judge or f"judge {unnamed}, unnamed", []).append(file)
        if len(file.answers) < file.asked:
            notes.append(f"{str(file.path)!r} is not finished: {len(file.answers)} of {file.asked} answered")
    for judge, some in found.items():
        if len(some) > 1:
            names = " and ".join(repr(str(file.path)) for file in some)
            notes.append(
                f"{names} are both of {judge!r}: taken for one judge, who is counted once for each question; "
                "change the name in one of them if they are two people"
            )
    return found


def _answers(judge: str, files: list[_File], key: Key) -> Iterable[Answer]:
    """A judge's answers in their order; the second to a question is one to measure the judge by."""
    seen: set[frozenset[str]] = set()
    for file in files:
        for left, right, choice in file.answers:
            question = frozenset((left, right))
            scene, model = key.pictures[left]
            yield Answer(judge, scene, model, key.pictures[right][1], choice, question in seen)
            seen.add(question)
