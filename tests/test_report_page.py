"""The page in a browser."""

import pytest
from browser import browse, needs_browser
from reported import bench, evaluation, judged, lines_of, pictures, row

from runtime.report import report

pytestmark = needs_browser


def test_a_click_on_a_head_sorts_and_leaves_nothing_between_rows(tmp_path):
    page = report([evaluation(tmp_path / "a.jsonl", models=("fast",), frames=5)], out=tmp_path / "report.html")
    script = """
      const body = document.getElementById("images").tBodies[0], heads = document.querySelectorAll("#images th button");
      const told = [];
      for (const head of [heads[4], heads[4], heads[0]]) {
        head.click();
        told.push([...body.childNodes].map((row) => row.textContent.slice(0, 5)));
      }
      return told;
    """
    names = [f"{i:05}" for i in range(5)]
    assert browse(page, script) == [names[::-1], names, names]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_name_does_not_make_the_page_scroll_sideways(tmp_path, width):
    name = "m" * 150
    lines_of(tmp_path / "a.jsonl", *(judged(name, f"{i}", 100, 30.0 + i) for i in range(2)))
    given = bench(tmp_path / "b.json", rows=[row(name, 10.0, 10, digest="")])
    shown = pictures(tmp_path / "p", sides=(name, "clean"))
    page = report([tmp_path / "a.jsonl"], benches=[given], shown=shown, out=tmp_path / "report.html")
    assert browse(page, "return document.documentElement.scrollWidth;", width=width) <= width
