import pytest
from browser import browse, needs_browser
from PIL import Image

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>body { background: #fff } @media (prefers-color-scheme: dark) { body { background: #000 } }</style>
</head><body><button id="b">0</button>
<script>
const button = document.getElementById("b");
button.addEventListener("click", () => { button.textContent += "<&1"; });
@more@
</script>
</body></html>"""

pytestmark = needs_browser


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "a.html"
    path.write_text(PAGE.replace("@more@", ""), "utf-8")
    return path


def test_a_page_is_clicked_and_tells_what_became_of_it(page):
    script = (
        'const b = document.getElementById("b"); b.click(); b.click(); await paint(); return {text: b.textContent};'
    )
    assert browse(page, script) == {"text": "0<&1<&1"}


def test_an_error_of_the_page_or_of_the_script_fails_the_test(page):
    with pytest.raises(AssertionError, match="nowhere"):
        browse(page, "return nowhere.at;")
    page.write_text(PAGE.replace("@more@", "missing();"), "utf-8")
    with pytest.raises(AssertionError, match="missing"):
        browse(page, "return {};")


def test_a_page_that_is_not_there_fails_the_test(tmp_path):
    with pytest.raises(AssertionError, match="FILE_NOT_FOUND"):
        browse(tmp_path / "nothing.html", "return {};")


def test_a_breach_of_the_policy_fails_the_test(page):
    page.write_text(PAGE.replace("@more@", 'new Image().src = "http://localhost/a.png";'), "utf-8")
    with pytest.raises(AssertionError, match="img-src"):
        browse(page, "return {};")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_is_as_wide_as_asked(page, width):
    assert browse(page, "return innerWidth;", width=width) == width


@pytest.mark.parametrize("width", [390, 600])
@pytest.mark.parametrize(("dark", "colour"), [(False, (255, 255, 255)), (True, (0, 0, 0))])
def test_a_screenshot_is_light_or_dark_as_asked(page, tmp_path, width, dark, colour):
    browse(page, "return {};", dark=dark, width=width, height=200, screenshot=tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (width, 200)
        assert picture.convert("RGB").getpixel((300, 150)) == colour
