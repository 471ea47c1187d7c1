import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from browser import browse, needs_browser
from click.testing import CliRunner
from PIL import Image, ImageCms
from surveys import MODELS, SCENES, data, folder, made, picture, saved

from runtime import judging
from runtime import survey as module
from runtime.errors import BadOption, FileError, UnreadableFile
from runtime.survey import survey
from runtime.survey_key import Key
from runtime.verdict import verdict

ROUNDING = 2  # levels: a colour goes to another space and back
PRESS = """
const press = async (key) => {
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  await paint();
};
const $ = (id) => document.getElementById(id);
const ids = () => ["a", "b"].map((pane) => $(pane).querySelector("img").id.slice(1));
const place = (pane) => $(pane).querySelector("img").style.transform;
"""


def images(page):
    """The pictures of a page by their id."""
    found = re.findall(
        r'<img id="p(\w+)" alt="" decoding="sync" width="\d+" height="\d+" src="data:image/(\w+);base64,([^"]*)">', page
    )
    return {name: Image.open(io.BytesIO(base64.b64decode(code))) for name, _, code in found}


@pytest.fixture
def asked(tmp_path):
    return made(tmp_path)


def test_the_page_holds_each_picture_under_the_id_that_the_key_knows(asked, tmp_path):
    found, key = asked
    held = images(found.page.read_text("utf-8"))
    assert set(held) == set(key.pictures)
    assert set(key.pictures.values()) == {(scene, model) for scene in SCENES for model in MODELS}
    for name, (scene, model) in key.pictures.items():
        with Image.open(tmp_path / "pictures" / model / f"{scene}.png") as wanted:
            np.testing.assert_array_equal(np.asarray(held[name]), np.asarray(wanted))


def test_every_question_is_of_one_scene_and_all_can_be_asked(asked):
    found, key = asked
    told = data(found.page)
    assert (found.trials, found.repeats) == (len(told["trials"]), len(told["repeats"])) == (12, 2)
    for left, right in told["trials"]:
        assert key.pictures[left][0] == key.pictures[right][0]
    assert {tuple(t[::-1]) for t in told["repeats"]} <= set(map(tuple, told["trials"]))


def test_no_model_no_file_and_no_place_is_named_in_the_page(asked, tmp_path):
    found, key = asked
    text = found.page.read_text("utf-8")
    names = [*MODELS, *SCENES, tmp_path.name]
    plain = re.sub(r"base64,[^\"]*", "", text)
    assert not [name for name in names if name in plain]
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in key.pictures)
    assert all(name in found.key.read_text() for name in (*MODELS, *SCENES)), "the check knows the names"


def test_pictures_bring_nothing_of_where_they_came_from(tmp_path):
    root = folder(tmp_path / "pictures")
    exif = Image.Exif()
    exif[0x010E] = "made by zebranet"
    for scene in SCENES:
        picture(60).save(root / MODELS[0] / f"{scene}.png", exif=exif, comment="zebranet")
    found, _ = made(tmp_path)
    for image in images(found.page.read_text("utf-8")).values():
        assert not image.getexif()
        assert not image.info


def test_ids_say_nothing_without_the_seed_and_chance_has_none_that_can_be_guessed(asked, tmp_path):
    found, key = asked
    again = survey(tmp_path / "pictures", out=tmp_path / "again.html", seed=1)
    assert again.page.read_bytes() == found.page.read_bytes()
    free = [survey(tmp_path / "pictures", out=tmp_path / f"free{n}.html") for n in (0, 1)]
    keys = [Key.read(one.key) for one in free]
    assert keys[0].seed != keys[1].seed
    assert min(one.seed for one in keys) > 2**64
    assert not set(keys[0].pictures) & set(keys[1].pictures)
    assert not set(keys[0].pictures) & set(key.pictures)
    assert len({found.survey, *(one.survey for one in free)}) == 3


def test_the_page_needs_nothing_but_itself(asked):
    text = asked[0].page.read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(|<link|<iframe", text)
    assert "default-src 'none'" in text
    assert "@" not in re.sub("@media", "", re.sub(r"src=\"[^\"]*\"", "", text)), "every hole is filled"


def test_colours_are_all_brought_to_srgb_so_that_a_profile_tells_nothing(tmp_path):
    root = folder(tmp_path / "pictures", models=("one", "two"), scenes=("a",))
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    picture(90).save(root / "one" / "a.png", icc_profile=srgb.tobytes())
    found, key = made(tmp_path)
    held = {key.pictures[name][1]: image for name, image in images(found.page.read_text("utf-8")).items()}
    assert "icc_profile" not in held["one"].info
    difference = np.asarray(held["one"]).astype(int) - np.asarray(picture(90)).astype(int)
    assert np.abs(difference).max() <= ROUNDING
    picture(90).save(root / "one" / "a.png", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    assert survey(root, out=tmp_path / "lab.html").trials == 1, "a profile that is none of RGB is taken for none"


def test_scenes_that_are_not_the_same_for_all_are_named_and_left_out(tmp_path):
    root = folder(tmp_path / "pictures")
    (root / MODELS[0] / "harbour.png").unlink()
    picture(0, width=40).save(root / MODELS[1] / "chapel.png")
    (root / MODELS[2] / "orchard.png").write_bytes(b"torn")
    (root / MODELS[2] / "night.ARW").write_bytes(b"II*\0")
    (root / "notes").mkdir()
    found, _ = made(tmp_path)
    told = " | ".join(map(str, found.problems))
    assert found.scenes == ("tunnel",)
    assert len(found.problems) == 5
    for words in (
        f"harbour.png' has no like in {MODELS[0]}",
        "chapel.png' is 40 x 24 and that of xylolight is 36 x 24",
        "orchard.png' is no picture, or is cut short",
        "night.ARW' is a RAW file",
        "notes' holds no pictures",
    ):
        assert words in told


def test_files_of_other_formats_with_one_name_are_one_scene(tmp_path):
    root = folder(tmp_path / "pictures", models=("one", "two"), scenes=("a", "b"))
    (root / "two" / "a.png").unlink()
    tifffile.imwrite(root / "two" / "a.tif", np.asarray(picture(200)).astype(np.uint16) * 257, photometric="rgb")
    picture(1).save(root / "one" / "b.jpg")
    found, _ = made(tmp_path)
    assert found.scenes == ("a", "b")
    assert [str(one) for one in found.problems if "has the name of 'b.jpg'" in str(one)]


def test_what_cannot_be_a_survey_is_refused_in_words(tmp_path):
    with pytest.raises(UnreadableFile, match="one folder of pictures for each model"):
        survey(tmp_path / "nowhere", out=tmp_path / "a.html")
    root = folder(tmp_path / "pictures", models=("one",), scenes=("a",))
    with pytest.raises(BadOption, match="two folders of pictures or more; with pictures: one"):
        survey(root, out=tmp_path / "a.html")
    folder(root, models=("two",), scenes=("b",))
    with pytest.raises(UnreadableFile, match="no scene that all of one, two have"):
        survey(root, out=tmp_path / "a.html")
    folder(root, models=("one", "two"), scenes=("a", "b"))
    for count in (0, 3):
        with pytest.raises(BadOption, match="1 to 2: there are 2 models and 2 scenes"):
            survey(root, out=tmp_path / "a.html", trials=count)
    with pytest.raises(FileError, match="cannot be written"):
        survey(root, out=root / "one" / "a.png" / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_the_key_of_another_survey_is_never_written_over(asked, tmp_path):
    before = asked[0].key.read_bytes()
    made(tmp_path)
    with pytest.raises(BadOption, match="is the key of another survey, and is kept"):
        made(tmp_path, seed=2)
    assert asked[0].key.read_bytes() == before
    assert data(asked[0].page)["survey"] == asked[1].survey, "the page is still its own"


def test_whether_there_is_a_key_is_asked_without_an_error_of_folders_that_are_locked(tmp_path, monkeypatch):
    def locked(path):
        raise PermissionError(13, "Permission denied")  # as before Python 3.12

    folder(tmp_path / "pictures")
    monkeypatch.setattr(Path, "exists", locked)
    assert survey(tmp_path / "pictures", out=tmp_path / "survey.html").trials


def test_large_pictures_are_made_smaller_and_coded_alike(tmp_path, monkeypatch):
    folder(tmp_path / "pictures")
    monkeypatch.setattr(module, "LOSSLESS", 100)
    found, _ = made(tmp_path, side=18)
    held = images(found.page.read_text("utf-8")).values()
    assert {(image.size, image.format) for image in held} == {((18, 12), "JPEG")}


@needs_browser
def test_a_judge_answers_all_with_keys_and_the_file_is_ranked(asked, tmp_path):
    found, key = asked
    bright = {name: MODELS.index(model) for name, (_, model) in key.pictures.items()}
    script = (
        PRESS
        + f"const bright = {json.dumps(bright)};"
        + """
    $("name").value = "Ann";
    $("start").click();
    await paint();
    const seen = [];
    for (let i = 0; i < 100 && !$("judge").hidden; i++) {
      const [a, b] = ids();
      seen.push([a, b]);
      await press(i % 2 ? (bright[a] > bright[b] ? "ArrowLeft" : "ArrowRight") : (bright[a] > bright[b] ? "a" : "B"));
    }
    return { result: $("result").value, seen, said: $("said").textContent, ended: !$("end").hidden };
    """
    )
    told = browse(found.page, script)
    result = json.loads(told["result"])
    assert told["ended"]
    assert "All answered" in told["said"]
    assert told["seen"] == result["trials"], "what was shown is what is told"
    assert len(result["answers"]) == found.trials + found.repeats
    ranked = verdict([saved(tmp_path / "ann.json", result)], key=found.key)
    assert [place.model for place in ranked.places] == list(MODELS[::-1])
    assert (ranked.consistency.count, ranked.consistency.of) == (found.repeats, found.repeats)
    assert list(ranked.judges) == ["Ann"]


@needs_browser
def test_a_reader_of_the_screen_is_told_which_picture_is_a_and_which_is_b(asked):
    script = (
        PRESS
        + """
    $("start").click(); await paint();
    const names = () => ["a", "b"].map((pane) => $(pane).querySelector("img").alt);
    const first = names();
    await press("a");
    return { first, second: names(), role: $("stage").getAttribute("role"), label: $("stage").ariaLabel };
    """
    )
    told = browse(asked[0].page, script)
    assert told["first"] == told["second"] == ["A", "B"]
    assert (told["role"], told["label"]) == ("group", "Two pictures of one scene")


@needs_browser
def test_each_judge_has_an_order_and_sides_of_their_own_and_repeats_come_late(asked):
    script = (
        PRESS + '$("start").click(); await paint(); $("pause").click(); return JSON.parse($("result").value).trials;'
    )
    orders = [browse(asked[0].page, script) for _ in range(2)]
    assert orders[0] != orders[1]
    told = data(asked[0].page)
    again = {frozenset(trial) for trial in told["repeats"]}
    for order in orders:
        assert sorted(map(sorted, order)) == sorted(map(sorted, told["trials"] + told["repeats"]))
        for question in again:
            one, other = (i for i, trial in enumerate(order) if set(trial) == question)
            assert other - one >= 3
            assert order[one] == order[other][::-1]


@needs_browser
def test_answers_can_be_taken_back_and_a_key_held_down_is_one(asked):
    script = (
        PRESS
        + """
    $("start").click(); await paint();
    const first = ids();
    await press("ArrowLeft");
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", repeat: true, bubbles: true }));
    const after = $("count").textContent;
    await press("t"); await press("Backspace"); await press("Backspace");
    const back = ids();
    await press("ArrowDown"); await press("b");
    $("pause").click();
    return { first, back, after, answers: JSON.parse($("result").value).answers.map((one) => one.choice) };
    """
    )
    told = browse(asked[0].page, script)
    assert told["first"] == told["back"]
    assert told["after"].startswith("2 of")
    assert told["answers"] == ["tie", "right"]


@needs_browser
def test_zoom_moves_both_alike_and_flicker_shows_one_at_a_time(asked):
    script = (
        PRESS
        + """
    $("start").click(); await paint();
    const seen = [[place("a"), place("b")]];
    for (const key of ["z", "z", "z"]) { await press(key); seen.push([place("a"), place("b")]); }
    const zoomed = $("zoom").textContent;
    $("stage").dispatchEvent(new WheelEvent("wheel", { deltaY: -900, clientX: 200, clientY: 200, cancelable: true }));
    seen.push([place("a"), place("b")]);
    const under = () => ["a", "b"].map((pane) => getComputedStyle($(pane)).visibility);
    const both = under();
    await press("f"); const one = under();
    await press(" "); const other = under();
    await press("f"); const again = under();
    return { seen, zoomed, both, one, other, again };
    """
    )
    told = browse(asked[0].page, script)
    assert all(a == b for a, b in told["seen"])
    assert len({a for a, _ in told["seen"]}) == 4, "fit, 100 %, 200 %, fit again, and the wheel"
    assert told["zoomed"] == "Fit"
    assert told["both"] == told["again"] == ["visible", "visible"]
    assert (told["one"], told["other"]) == (["visible", "hidden"], ["hidden", "visible"])


def test_a_page_that_cannot_be_written_leaves_no_key_that_would_stand_in_the_way(tmp_path, monkeypatch):
    where = folder(tmp_path / "pictures")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_page", full)
        with pytest.raises((FileError, OSError)):
            survey(where, out=tmp_path / "survey.html")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    made_now = survey(where, out=tmp_path / "survey.html")  # another seed, and nothing to keep
    assert made_now.key.exists()


@needs_browser
def test_a_judge_can_leave_and_go_on_with_what_the_browser_kept_or_with_a_file(asked, tmp_path):
    found, _ = asked
    start = PRESS + '$("name").value = "Ann"; $("start").click(); await paint(); await press("a"); await press("t");'
    first = browse(found.page, start + ' $("pause").click(); return $("result").value;')
    place = f"qk-survey-{found.survey}"
    kept = tmp_path / "kept.html"
    text = found.page.read_text("utf-8")
    state = json.dumps(json.dumps({k: v for k, v in json.loads(first).items() if k != "window"}))
    kept.write_text(text.replace("<head>", f"<head><script>localStorage.setItem('{place}', {state})</script>"), "utf-8")
    script = PRESS + 'const said = $("kept").textContent; $("start").click(); await paint();'
    again = browse(kept, script + 'return [said, $("count").textContent, $("name").value];')
    assert again == ["2 of 14 are answered; go on where you left.", "3 of 14", "Ann"]
    load = """
    const give = async (text) => {
      const list = new DataTransfer();
      list.items.add(new File([text], "a.json"));
      $("load").files = list.files;
      $("kept").textContent = "";
      $("load").dispatchEvent(new Event("change"));
      for (let i = 0; i < 20 && !$("kept").textContent; i++) { await list.files[0].text(); await paint(); }
      return $("kept").textContent;
    };
    """
    script = PRESS + load + f"const text = {json.dumps(first)};"
    bad = 'text.replace(/"survey":"./, \'"survey":"x\')'
    told = browse(found.page, script + f"return [await give({bad}), await give(text)];")
    assert told == ["That file holds no answers to this survey.", again[0]]


@needs_browser
def test_a_page_whose_browser_keeps_nothing_says_so_and_works(asked, tmp_path):
    text = asked[0].page.read_text("utf-8")
    page = tmp_path / "blocked.html"
    blocks = "<script>Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });</script>"
    page.write_text(text.replace("<head>", f"<head>{blocks}"), "utf-8")
    script = PRESS + 'const said = $("kept").textContent; $("start").click(); await paint(); await press("a");'
    said, count = browse(page, script + 'return [said, $("count").textContent];')
    assert "keeps nothing" in said
    assert count.startswith("2 of")


@needs_browser
def test_a_curious_judge_finds_no_name_in_the_document(asked):
    script = PRESS + '$("start").click(); await paint(); await press("a"); return document.documentElement.outerHTML;'
    text = re.sub(r"base64,[^\"]*", "", browse(asked[0].page, script))
    assert not [name for name in (*MODELS, *SCENES) if name in text]
    assert asked[1].survey in text, "it is the page"


@pytest.mark.parametrize("words", [["--rank", "--side", "900"], ["--rank", "--trials", "9"], ["--key", "key.json"]])
def test_an_option_of_the_other_half_of_the_command_is_refused(words, tmp_path):
    done = CliRunner().invoke(judging.survey, [str(tmp_path), *words])
    assert done.exit_code != 0
    assert "--rank" in done.stderr
