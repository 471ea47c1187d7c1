import json
import math

import pytest
from surveys import MODELS, answered, brighter, made, saved

from runtime.errors import AlteredFile, FileError, UnreadableFile
from runtime.survey_key import Key
from runtime.survey_results import read


@pytest.fixture
def asked(tmp_path):
    return made(tmp_path)


@pytest.fixture
def ann(asked):
    return answered(asked[0].page, asked[1], brighter, judge="Ann", session="a1")


def test_answers_are_of_models_and_the_second_to_a_question_is_marked(asked, ann, tmp_path):
    found, key = asked
    told = read([saved(tmp_path / "a.json", ann)], key=key)
    assert len(told.answers) == found.trials + found.repeats
    assert [answer.again for answer in told.answers] == [False] * found.trials + [True] * found.repeats
    assert all(answer.preferred == max(answer.left, answer.right, key=MODELS.index) for answer in told.answers)
    assert (told.notes, told.problems) == ((), ())


def test_a_file_that_cannot_be_used_is_named_and_does_not_stop_the_others(asked, ann, tmp_path):
    good = saved(tmp_path / "good.json", ann)
    torn = tmp_path / "torn.json"
    torn.write_bytes(good.read_bytes()[:-40])
    other = saved(tmp_path / "other.json", {**ann, "survey": "0" * 16})
    later = saved(tmp_path / "later.json", {**ann, "version": 2})
    (tmp_path / "words.json").write_text('"words"')
    bad = [torn, other, later, tmp_path / "words.json", tmp_path / "none.json", asked[0].key]
    told = read([*bad, good], key=asked[1])
    assert len(told.answers) == len(ann["answers"])
    why = ("cut short", "another survey", "version 2", "something else", "No such file", "is the key of a survey")
    for path, words, problem in zip(bad, why, told.problems, strict=True):
        assert str(path) in str(problem)
        assert words in str(problem)
    with pytest.raises(UnreadableFile, match="torn.json"):
        read([torn, other], key=asked[1])


@pytest.mark.parametrize("part", range(10))
def test_a_torn_file_is_never_taken_for_answers(asked, ann, tmp_path, part):
    path = saved(tmp_path / "a.json", ann)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * part // 10])
    with pytest.raises(UnreadableFile, match="cut short"):
        read([path], key=asked[1])


CHANGES = {
    "a choice that is none": lambda f: f["answers"][0].update(choice="both"),
    "a choice that is a list": lambda f: f["answers"][0].update(choice=[]),
    "no time": lambda f: f["answers"][0].pop("seconds"),
    "a time before the question": lambda f: f["answers"][0].update(seconds=-1),
    "a time that is no number": lambda f: f["answers"][0].update(seconds=float("nan")),
    "a time beyond all numbers": lambda f: f["answers"][0].update(seconds=10**400),
    "more answers than questions": lambda f: f["answers"].extend(f["answers"]),
    "an unknown picture": lambda f: f["trials"].__setitem__(0, ["00", f["trials"][0][1]]),
    "a picture and itself": lambda f: f["trials"].__setitem__(0, [f["trials"][0][0]] * 2),
    "three pictures": lambda f: f["trials"][0].append(f["trials"][1][0]),
    "pictures of two scenes": lambda f: f["trials"].__setitem__(0, [f["trials"][0][0], f["elsewhere"]]),
    "no trials": lambda f: f.update(trials=None),
    "a judge who is a number": lambda f: f.update(judge=7),
    "no session": lambda f: f.update(session=""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_answers_that_were_changed_are_refused(asked, ann, tmp_path, change):
    key = asked[1]
    scene, model = key.pictures[ann["trials"][0][0]]
    ann["elsewhere"] = next(one for one, (s, m) in key.pictures.items() if s != scene and m != model)
    read([saved(tmp_path / "a.json", ann)], key=key)  # as it is, it can be read
    change(ann)
    with pytest.raises(AlteredFile, match="as the page saved it"):
        read([saved(tmp_path / "a.json", ann)], key=key)


def test_of_one_sitting_saved_twice_the_longer_file_is_counted_and_the_other_named(asked, tmp_path):
    found, key = asked
    whole = answered(found.page, key, brighter, judge="Ann")
    half = answered(found.page, key, brighter, judge="Ann", count=5)
    paths = [saved(tmp_path / "whole.json", whole), saved(tmp_path / "half.json", half)]
    for order in (paths, paths[::-1]):
        told = read(order, key=key)
        assert len(told.answers) == len(whole["answers"])
        (note,) = told.notes
        assert "half.json' and " in note
        assert "whole.json' are of one sitting of Ann" in note


def test_two_files_of_one_judge_are_named_and_count_once(asked, tmp_path):
    found, key = asked
    paths = [saved(tmp_path / f"{n}.json", answered(found.page, key, brighter, judge="Ann", session=n)) for n in "12"]
    told = read(paths, key=key)
    assert len([answer for answer in told.answers if not answer.again]) == found.trials
    assert {answer.judge for answer in told.answers} == {"Ann"}
    assert any("1.json' and " in note and "both of 'Ann'" in note for note in told.notes)


def test_judges_without_a_name_are_each_their_own_and_unfinished_files_are_named(asked, tmp_path):
    found, key = asked
    paths = [
        saved(tmp_path / f"{n}.json", answered(found.page, key, brighter, session=n, count=None if n == "1" else 3))
        for n in "12"
    ]
    told = read(paths, key=key)
    assert {answer.judge for answer in told.answers} == {"judge 1, unnamed", "judge 2, unnamed"}
    assert [note for note in told.notes if "2.json' is not finished: 3 of 14 answered" in note]


def test_a_name_cannot_break_a_line(asked, tmp_path):
    found, key = asked
    path = saved(tmp_path / "a.json", answered(found.page, key, brighter, judge="A\nn\u202en\x1b[31m" + "x" * 500))
    (judge,) = {answer.judge for answer in read([path], key=key).answers}
    assert judge.isprintable()
    assert len(judge) <= 60


def test_a_key_is_read_as_it_was_written_and_a_changed_one_is_refused(asked, ann, tmp_path):
    found, key = asked
    assert Key.read(found.key) == key
    assert set(key.models) == set(MODELS)
    with pytest.raises(UnreadableFile, match="is the answers of a judge.*the key that qk-run survey wrote"):
        Key.read(saved(tmp_path / "a.json", ann))
    bad = (("pictures", {"a": ["x", "y"]}), ("models", ["one"]), ("survey", 3), ("pictures", []), ("seed", math.inf))
    for name, value in bad:
        changed = {**json.loads(found.key.read_text()), name: value}
        with pytest.raises(AlteredFile, match="is a key that was changed"):
            Key.read(saved(tmp_path / "k.json", changed))
    with pytest.raises(FileError, match="No such file"):
        Key.read(tmp_path / "none.json")
