"""The pages in a browser, clicked through: what the viewer's and the report's scripts do."""

import numpy as np
import pytest
from browser import browse, needs_browser
from PIL import Image
from reported import bench, evaluation, pictures, row

from runtime.compare import compare
from runtime.report import report

pytestmark = needs_browser

LOOK = """
const $ = (id) => document.getElementById(id);
const shown = () => [...document.querySelectorAll("#pictures img.shown")].map((one) => one.alt).sort();
const column = (i) => [...$("images").tBodies[0].rows].map((row) => row.cells[i].textContent);
const change = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("change")); };
const panes = () => [...document.querySelectorAll("#panes figure")].map((one) => one.textContent);
const inked = (canvas) => new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size;
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with everything in it."""
    folder = tmp_path_factory.mktemp("report")
    shown = pictures(folder / "pictures", height=240, width=360)
    evals, benches = [evaluation(folder / "eval.jsonl")], [bench(folder / "bench.json")]
    return report(evals, benches=benches, shown=shown, out=folder / "report.html", command=["qk-run", "report"])


def test_a_click_on_a_head_sorts_and_another_turns_it_round(page):
    script = """
    const head = [...$("images").tHead.rows[0].cells].findIndex((one) => one.textContent === "developed, dB");
    const button = $("images").tHead.rows[0].cells[head].querySelector("button");
    const before = column(head);
    button.click(); const up = column(head), said = button.parentElement.getAttribute("aria-sort");
    button.click(); const down = column(head);
    $("worst-first").click(); const worst = column(head);
    $("images").tHead.rows[0].cells[1].querySelector("button").click();
    const words = column(1), others = document.querySelectorAll("#images [aria-sort]").length;
    return { before, up, down, worst, said, words, others };"""
    told = browse(page, LOOK + script)
    assert told["up"] == sorted(told["before"], key=float) != told["before"]
    assert told["down"] == told["up"][::-1]
    assert told["worst"] == told["up"]
    assert told["words"] == sorted(told["words"])
    assert (told["said"], told["others"]) == ("ascending", 1)


def test_what_was_not_measured_is_last_whichever_way(tmp_path):
    rows = [("fast", 40.0), ("lighter", None), ("plain", 4.5)]
    given = bench(tmp_path / "b.json", rows=[row(name, 1.0, 1, energy_mj=energy) for name, energy in rows])
    page = report([], benches=[given], out=tmp_path / "a.html")
    script = """
    const names = () => [...$("bench").tBodies[0].rows].map((row) => row.cells[0].textContent);
    const head = [...$("bench").tHead.rows[0].cells].find((one) => one.textContent === "mJ").querySelector("button");
    head.click(); const up = names();
    head.click(); return { up, down: names() };"""
    assert browse(page, LOOK + script) == {
        "up": ["plain", "fast", "lighter"],
        "down": ["fast", "plain", "lighter"],
    }


def test_scenes_and_models_are_switched_and_models_stay_from_scene_to_scene(page):
    script = """
    const first = shown();
    change("right", "2"); const second = shown();
    change("scene", "00001"); const third = shown();
    const scenes = [...document.querySelectorAll("#pictures img.shown")].map((one) => one.dataset.scene);
    return { first, second, third, scenes, names: [$("left-name").textContent, $("right-name").textContent],
             panes: panes() };"""
    told = browse(page, LOOK + script)
    assert told["first"] == ["amplified", "fast"]
    assert told["second"] == told["third"] == ["amplified", "lighter"]
    assert told["scenes"] == ["00001"] * 2
    assert told["names"] == ["amplified", "lighter"]
    assert [text.split()[0] for text in told["panes"]] == ["amplified", "fast", "lighter", "plain", "clean"]
    assert [text.endswith("dB") for text in told["panes"]] == [False, True, True, True, False]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_viewer_zooms_and_its_details_show_the_framed_place(page, width):
    script = """
    const canvas = () => document.querySelector("#panes canvas");
    const size = () => $("spot").getBoundingClientRect().width;
    const fitted = $("zoom").textContent, box = size(), colours = inked(canvas());
    document.querySelector("[data-times='4']").click(); const less = size();
    const place = () => [$("spot").style.left, $("spot").style.top].join();
    const before = place();
    $("panes").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })); const after = place();
    $("two").click();
    const zoomed = $("zoom").textContent, pressed = $("two").getAttribute("aria-pressed");
    $("stage").dispatchEvent(new KeyboardEvent("keydown", { key: "0", bubbles: true }));
    const again = $("zoom").textContent;
    $("stage").dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
    return { fitted, zoomed, pressed, again, box, less, moved: before !== after, colours, wipe: $("wipe").value,
             overflow: document.documentElement.scrollWidth - innerWidth };"""
    told = browse(page, LOOK + script, width=width)
    assert (told["zoomed"], told["pressed"]) == ("200 %", "true")
    assert told["again"] == told["fitted"] != told["zoomed"]
    assert told["less"] == pytest.approx(told["box"] / 2, abs=2.0)  # the frame's own line, a pixel on each side
    assert told["moved"]
    assert told["colours"] > 50, "the pane is not empty"
    assert told["wipe"] == "1000"
    assert told["overflow"] <= 0, "nothing is wider than the window"


@pytest.mark.parametrize("dark", [False, True])
def test_the_report_is_drawn_in_the_readers_colours(page, tmp_path, dark):
    told = browse(
        page,
        """const colour = (s, k) => getComputedStyle(document.querySelector(s))[k];
        return [colour("body", "backgroundColor"), colour("body", "color"), colour(".paper", "fill")];""",
        dark=dark,
        screenshot=tmp_path / "a.png",
    )
    assert told == (
        ["rgb(22, 24, 28)", "rgb(228, 230, 234)", "rgb(22, 24, 28)"]
        if dark
        else ["rgb(255, 255, 255)", "rgb(28, 30, 34)", "rgb(255, 255, 255)"]
    )
    with Image.open(tmp_path / "a.png") as picture:
        assert bool(np.asarray(picture.convert("L")).mean() < 128) is dark


def test_the_pictures_of_compare_are_wiped_and_zoomed(tmp_path):
    folder = pictures(tmp_path / "p", sides=("a", "b", "c"), scenes=("x",))
    page = compare(*sorted(folder.glob("*/x.png")), out=tmp_path / "a.html")
    script = """
    const first = shown();
    change("left", "2"); const second = shown();
    $("two").click(); const zoomed = $("zoom").textContent;
    $("stage").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", shiftKey: true, bubbles: true }));
    const clipped = document.querySelector("[alt='c/x.png']").style.clipPath.startsWith("inset");
    return { first, second, zoomed, wipe: $("wipe").value, clipped, scene: $("scene") };"""
    assert browse(page, LOOK + script) == {
        **{"first": ["a/x.png", "b/x.png"], "second": ["b/x.png", "c/x.png"], "zoomed": "200 %"},
        **{"wipe": "400", "clipped": True, "scene": None},
    }


def test_on_paper_every_picture_stands_and_the_axes_keep_their_names(page, tmp_path):
    paper = tmp_path / "paper.html"
    paper.write_text(page.read_text("utf-8").replace("@media print", "@media all"), "utf-8")
    script = """
    const hidden = (s) => [...document.querySelectorAll(s)].filter((one) => !one.getClientRects().length).length;
    return { names: hidden(".qk-plot .name"), pictures: hidden("#pictures img"), bars: hidden(".bar") };"""
    assert browse(paper, script, dark=True) == {"names": 0, "pictures": 0, "bars": 2}
    assert browse(page, script, dark=True) == {"names": 0, "pictures": 8, "bars": 0}
