"""Pages in a real browser: opened without a window, clicked through by a script, asked for what became of them.

The browser is driven through a pipe by the Chrome DevTools Protocol, in real time: one process for all pages, each page
in a profile of its own.
"""

import atexit
import base64
import functools
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 120  # seconds for a browser that works beside others; it takes one or two
OPTIONS = (
    "--headless",
    "--no-sandbox",  # in a container there is none; the page is the test's own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# Runs before anything of the page does, so that it hears of every error and of every breach of policy.
LISTENER = """
window.toldErrors = [];
addEventListener("error", (event) => toldErrors.push(event.message || "a source that does not load"), true);
addEventListener("unhandledrejection", (event) => toldErrors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => toldErrors.push(`policy: ${event.violatedDirective}`));
"""
# A browser without a window may draw no frame when nothing moves: then the clock goes on alone.
CALL = """(async () => {
  const paint = () => new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve, 0));
    setTimeout(resolve, 100);
  });
  let told = null;
  try {
    if (document.readyState !== "complete") await new Promise((resolve) => addEventListener("load", resolve));
    await paint();
    told = await (async () => { @script@ })();
    await paint();
  } catch (error) { toldErrors.push(String(error)); }
  return { told, errors: toldErrors };
})()"""


def _runs(path):
    """Whether it is a browser: some systems have a script of that name that tells where to get one."""
    return subprocess.run([path, "--version"], capture_output=True, check=False, timeout=PATIENCE).returncode == 0


FOUND = next((path for name in NAMES if (path := shutil.which(name)) and _runs(path)), None)

needs_browser = pytest.mark.skipif(FOUND is None, reason=f"no browser is installed here: one of {', '.join(NAMES)}")


def browse(page, script, *, width=1280, height=900, dark=False, screenshot=None):
    """Open `page`, run `script`, the body of an async function, and return the object that it returns.

    The script may wait for what a click does: `await paint()`. An error in the page or in the script and a breach of
    the page's Content-Security-Policy fail the test, if they come before the script has ended. With `screenshot` the
    page as the script left it is drawn into that PNG.
    """
    browser = _browser()
    profile = browser.do("Target.createBrowserContext")["browserContextId"]
    try:
        return _told(browser, profile, page, script, width, height, dark, screenshot)
    finally:
        browser.do("Target.disposeBrowserContext", browserContextId=profile)


def _told(browser, profile, page, script, width, height, dark, screenshot):
    """What the script returns in a page of that profile."""
    target = browser.do("Target.createTarget", url="about:blank", browserContextId=profile)["targetId"]
    do = functools.partial(browser.do, session=browser.do("Target.attachToTarget", targetId=target, flatten=True))
    do("Page.enable")
    do("Page.addScriptToEvaluateOnNewDocument", source=LISTENER)
    do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    do("Emulation.setEmulatedMedia", features=[scheme])
    gone = do("Page.navigate", url=Path(page).absolute().as_uri())
    assert "errorText" not in gone, gone["errorText"]
    call = CALL.replace("@script@", script)
    found = do("Runtime.evaluate", expression=call, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in found, found["exceptionDetails"]
    report = found["result"]["value"]
    assert not report["errors"], report["errors"]
    if screenshot:
        Path(screenshot).write_bytes(base64.b64decode(do("Page.captureScreenshot", format="png")["data"]))
    return report["told"]


@functools.cache
def _browser():
    return _Browser()


class _Browser:
    """A browser, and the pipe that it is told through and answers through: JSON between zero bytes."""

    def __init__(self):
        (theirs, self.mine), (self.said, answers) = os.pipe(), os.pipe()
        self.profile = tempfile.mkdtemp(prefix="qk-browser-")
        # It reads from descriptor 3 and writes to 4, which only a shell can choose.
        line = [f'exec "$@" 3<&{theirs} 4>&{answers}', "-", FOUND, *OPTIONS, f"--user-data-dir={self.profile}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(["bash", "-c", *line], pass_fds=(theirs, answers), **quiet)
        os.close(theirs)
        os.close(answers)
        self.numbers, self.rest = itertools.count(1), b""
        atexit.register(self.close)

    def do(self, method, *, session=None, **parameters):
        """What a command returns."""
        number = next(self.numbers)
        command = {"id": number, "method": method, "params": parameters, **(session or {})}
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self.mine, data) :]
        answer = next(message for message in self._messages() if message.get("id") == number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _messages(self):
        """What it says from now on: answers, and events that nobody waits for."""
        end = time.monotonic() + PATIENCE
        while True:
            message, zero, rest = self.rest.partition(b"\0")
            if zero:
                self.rest = rest
                yield json.loads(message)
                continue
            ready, _, _ = select.select([self.said], [], [], max(end - time.monotonic(), 0))
            assert ready, f"the browser said nothing for {PATIENCE} s"
            more = os.read(self.said, 1 << 20)
            assert more, "the browser ended"
            self.rest += more

    def close(self):
        """End it; it leaves nothing behind."""
        os.close(self.mine)  # which it takes for its end
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)
