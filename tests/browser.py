"""Pages in a real browser: a copy of the page is opened without a window, clicked through by a script, and reports."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BUDGET = 20_000  # milliseconds of the page's own clock, which runs as fast as its work allows
PATIENCE = 120  # seconds for a browser that starts beside other work; it takes one or two
PLACE = "told-to-the-test"


def _runs(path):
    """Whether it is a browser: some systems have a script of that name that tells where to get one."""
    return subprocess.run([path, "--version"], capture_output=True, check=False, timeout=PATIENCE).returncode == 0


FOUND = next((path for name in NAMES if (path := shutil.which(name)) and _runs(path)), None)
DARK = "--blink-settings=preferredColorScheme=0"
# Stands before everything else, the page's policy too, so that it hears of every error and of every breach of policy.
LISTENER = """<script>
window.toldErrors = [];
addEventListener("error", (event) => toldErrors.push(event.message || "a source that does not load"), true);
addEventListener("unhandledrejection", (event) => toldErrors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => toldErrors.push(`policy: ${event.violatedDirective}`));
</script>"""
# What the script returns, and what went wrong before it did. A browser without a window draws no frame when nothing
# moves: then the clock goes on alone.
TELLER = """<script>
addEventListener("load", async () => {
  const paint = () => new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve, 0));
    setTimeout(resolve, 100);
  });
  let told = null;
  try {
    await paint();
    told = await (async () => { @script@ })();
    await paint();
  } catch (error) { toldErrors.push(String(error)); }
  const place = document.createElement("pre");
  [place.id, place.hidden] = ["@place@", true];
  place.textContent = JSON.stringify({ told, errors: toldErrors });
  document.documentElement.append(place);
  if (parent !== window) parent.postMessage(place.textContent, "*");
});
</script>"""
FRAME = """<!DOCTYPE html>
<title>a narrow page</title><body style="margin: 0"><pre id="@place@" hidden></pre>
<script>
addEventListener("message", (event) => { document.getElementById("@place@").textContent = event.data; });
</script>
<iframe src="page.html" style="border: 0; width: @width@px; height: @height@px"></iframe>"""
NARROWEST = 500  # pixels of a window; what is narrower stands in a frame

needs_browser = pytest.mark.skipif(FOUND is None, reason=f"no browser is installed here: one of {', '.join(NAMES)}")


def browse(page, script, tmp_path, *, width=1280, height=900, dark=False, screenshot=None):
    """Open a copy of `page`, run `script`, the body of an async function, and return the object that it returns.

    The script may wait for what a click does: `await paint()`. An error in the page or in the script and a breach of
    the page's Content-Security-Policy fail the test; the policy has to allow inline scripts. With `screenshot` the page
    as the script left it is drawn into that PNG. A telephone is 390 wide.
    """
    copy = Path(tmp_path) / "browsed" / "page.html"
    copy.parent.mkdir(exist_ok=True)
    text = Path(page).read_text("utf-8")
    assert text.count("<head>") == text.count("</body>") == 1, "a page has one head and one body"
    teller = TELLER.replace("@place@", PLACE).replace("@script@", script)
    copy.write_text(text.replace("<head>", "<head>" + LISTENER).replace("</body>", teller + "</body>"), "utf-8")
    if width < NARROWEST:
        holes = {"@place@": PLACE, "@width@": str(width), "@height@": str(height)}
        copy = copy.with_name("frame.html")
        copy.write_text(re.sub("@(place|width|height)@", lambda hole: holes[hole[0]], FRAME), "utf-8")
    found = _Place(_opened(copy, width=width, height=height, dark=dark, screenshot=screenshot)).text
    assert found, f"the script told nothing within {BUDGET} ms of the page's clock: does the page's policy allow it?"
    report = json.loads(found)
    assert not report["errors"], report["errors"]
    if screenshot and width < NARROWEST:
        with Image.open(screenshot) as picture:
            picture.crop((0, 0, width, height)).save(screenshot)
    return report["told"]


def _opened(page, *, width, height, dark, screenshot):
    """The page as it is in the end."""
    options = [
        "--headless",
        "--no-sandbox",  # in a container there is none; the page is the test's own
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        f"--user-data-dir={page.parent / 'profile'}",
        f"--window-size={width},{height}",
        f"--virtual-time-budget={BUDGET}",
        *([DARK] if dark else []),
        *([f"--screenshot={screenshot}"] if screenshot else []),
        "--dump-dom",
        page.absolute().as_uri(),
    ]
    done = subprocess.run([FOUND, *options], capture_output=True, check=True, timeout=PATIENCE)
    return done.stdout.decode("utf-8", "replace")


class _Place(HTMLParser):
    """The text of the element the report was left in."""

    def __init__(self, dom):
        super().__init__(convert_charrefs=True)
        self.here, self.text = False, ""
        self.feed(dom)
        self.close()

    def handle_starttag(self, _tag, attrs):
        self.here = dict(attrs).get("id") == PLACE

    def handle_endtag(self, _tag):
        self.here = False

    def handle_data(self, data):
        if self.here:
            self.text += data
