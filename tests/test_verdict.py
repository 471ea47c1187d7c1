import json
from xml.etree import ElementTree

import numpy as np
import pytest
from surveys import MODELS, answered, brighter, chance, folder, made, saved

from runtime.errors import BadOption, FileError
from runtime.ranking import MANY
from runtime.verdict import verdict

STRENGTHS = (-0.9, 0.0, 0.9)


@pytest.fixture
def asked(tmp_path):
    folder(tmp_path / "pictures", scenes=[f"scene{n}" for n in range(10)])
    return made(tmp_path, trials=30)


def judged(asked, tmp_path, judges, strengths=STRENGTHS, nu=0.4):
    """Files of judges who follow Davidson's model."""
    found, key = asked
    paths = []
    for n in range(judges):
        choose = chance(np.random.default_rng(n), strengths, nu)
        told = answered(found.page, key, choose, judge=f"judge {n}", session=f"s{n}")
        paths.append(saved(tmp_path / f"r{n}.json", told))
    return paths


def test_judges_who_follow_the_model_give_its_strengths_back(asked, tmp_path):
    found = verdict(judged(asked, tmp_path, 12), key=asked[0].key)
    assert [place.model for place in found.places] == list(MODELS[::-1])
    for place in found.places:
        low, high = place.interval
        assert low < STRENGTHS[MODELS.index(place.model)] < high
        assert high - low < 1.0
        assert place.wins + place.losses + place.ties == 12 * 20
    assert (found.resampled, found.answers, len(found.judges)) == ("judges and answers", 360, 12)
    assert found.left.value == pytest.approx(0.5, abs=0.1)
    assert not [note for note in found.notes if "not sure" in note]
    assert [place.ranks for place in found.places] == [(1, 1), (2, 2), (3, 3)]


def test_judges_who_guess_give_a_ranking_that_is_not_sure(asked, tmp_path):
    found = verdict(judged(asked, tmp_path, 3, (0, 0, 0)), key=asked[0].key)
    assert found.resampled == "answers"
    assert all(low < 0 < high for low, high in (place.interval for place in found.places))
    assert all(place.ranks[0] < place.ranks[1] for place in found.places)
    assert len([note for note in found.notes if "is not sure" in note]) == 2
    assert [note for note in found.notes if "3 judges are too few" in note]
    assert abs(found.kappa) < 0.3


def test_the_order_of_files_and_the_time_change_nothing_but_a_seed_does(asked, tmp_path):
    paths = judged(asked, tmp_path, MANY)
    one, again = (verdict(paths, key=asked[0].key).as_dict() for _ in range(2))
    assert one == again
    other = verdict(paths, key=asked[0].key, seed=1).as_dict()
    assert [m["interval"] for m in one["models"]] != [m["interval"] for m in other["models"]]
    assert [m["strength"] for m in one["models"]] == [m["strength"] for m in other["models"]]


def test_who_wins_or_loses_everything_is_said_in_words_and_has_no_bound(asked, tmp_path):
    told = answered(asked[0].page, asked[1], brighter, judge="Ann")
    found = verdict([saved(tmp_path / "a.json", told)], key=asked[0].key)
    first, _, last = found.places
    assert first.interval[1] is None
    assert last.interval[0] is None
    text = " | ".join(found.notes)
    assert "xylolight was never the worse one" in text
    assert "zebranet was never the better one" in text
    assert "half a win and half a loss" in text
    assert "no bound" in "\n".join(found.lines())
    assert found.consistency.value == 1


def test_models_that_no_answer_connects_are_said_not_to_be_ranked(tmp_path):
    models = (*MODELS, "walrus", "vole")
    folder(tmp_path / "pictures", models=models, scenes=["a"])
    found, key = made(tmp_path)

    def only(*pairs):
        told = answered(found.page, key, lambda *_: "left", judge="Ann")
        asked = [{key.pictures[one][1] for one in trial} in pairs for trial in told["trials"]]
        chosen = [trial for trial, wanted in zip(told["trials"], asked, strict=True) if wanted]
        return saved(tmp_path / "a.json", {**told, "trials": chosen, "answers": told["answers"][: len(chosen)]})

    said = verdict([only({"walrus", "vole"}, {MODELS[0], MODELS[1]})], key=found.key)
    text = " | ".join(said.notes)
    assert "xylolight: never compared with another model" in text
    assert "each is ranked alone" in text
    assert {place.group for place in said.places} == {1, 2}
    assert [place.rank for place in said.places] == [1, 2, 1, 2]
    assert "xylolight" not in [place.model for place in said.places]


def test_sets_between_which_nothing_is_known_are_named(tmp_path):
    folder(tmp_path / "pictures", models=(*MODELS, "walrus"), scenes=["a", "b", "c"])
    found, key = made(tmp_path)
    good = {"walrus", "xylolight"}

    def choose(left, right, scene):
        if (left in good) != (right in good):
            return "left" if left in good else "right"
        return "left" if (left < right) == (scene == "a") else "right"

    text = " | ".join(verdict([saved(tmp_path / "a.json", answered(found.page, key, choose))], key=found.key).notes)
    assert "nothing bounds how far walrus, xylolight are ahead of yakformer, zebranet" in text


def test_the_ranking_is_written_as_json_and_as_a_picture(asked, tmp_path):
    found = verdict(judged(asked, tmp_path, 2), key=asked[0].key)
    told = json.loads(found.write(tmp_path / "ranking.json").read_text())
    assert told == json.loads(json.dumps(found.as_dict()))
    assert [model["model"] for model in told["models"]] == list(MODELS[::-1])
    svg = ElementTree.fromstring(found.write(tmp_path / "ranking.svg").read_text())
    assert all(any(model in (text or "") for text in svg.itertext()) for model in MODELS)
    with pytest.raises(BadOption, match=r"ends in .json or .svg"):
        found.write(tmp_path / "ranking.png")


def test_a_table_for_people_has_a_line_for_each_model(asked, tmp_path):
    lines = verdict(judged(asked, tmp_path, 2), key=asked[0].key).lines()
    assert [model for line in lines[1:4] for model in MODELS if model in line] == list(MODELS[::-1])
    assert all(line.isprintable() for line in lines)


def test_what_was_not_asked_is_said_in_words_of_its_own(asked, tmp_path):
    told = answered(asked[0].page, asked[1], lambda *_: "tie", judge="Ann", count=3)
    lines = verdict([saved(tmp_path / "a.json", told)], key=asked[0].key).lines()
    assert not [line for line in lines if "none asked" in line or "-0.00" in line]
    said = "\n".join(lines)
    for words in ("answered by two judges", "none was answered twice", "none was decided", "3 of 1 judge on"):
        assert words in said


def test_files_without_an_answer_are_an_error(asked, tmp_path):
    told = answered(asked[0].page, asked[1], brighter, count=0)
    with pytest.raises(FileError, match="holds no answers"):
        verdict([saved(tmp_path / "a.json", told)], key=asked[0].key)
