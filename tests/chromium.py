"""Headless Chromium for tests, by its debugging protocol over a pipe: no driver and no package is needed."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Chromium reads commands from file 3 and answers on file 4.
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)


def downloaded(path, seconds=30):
    """`path`, once Chromium has saved it. An empty file reserves the name until the whole one replaces it."""
    end = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_size):
        if time.monotonic() > end:
            raise TimeoutError(f"{path} was not saved")
        time.sleep(0.02)
    return path


class Chromium:
    def __init__(self, folder):
        ours = [os.pipe() for _ in range(2)]
        # Numbers beyond 3 and 4, which the new process overwrites one after the other.
        read, write = (fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (ours[0][0], ours[1][1]))
        os.close(ours[0][0]), os.close(ours[1][1])
        self.write, self.read = ours[0][1], ours[1][0]
        words = [
            PROGRAM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, str(read), str(write), *words],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read), os.close(write)
        self.number, self.rest, self.events = 0, b"", []

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.read), os.close(self.write)

    def call(self, method, session=None, **options):
        """The result of one command; what is told meanwhile is added to `events`."""
        self.number += 1
        message = {
            "id": self.number,
            "method": method,
            "params": options,
            **({"sessionId": session} if session else {}),
        }
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def _receive(self, seconds=60):
        end = time.monotonic() + seconds
        while b"\0" not in self.rest:
            if not select.select([self.read], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self.read, 1 << 20)
            if not data:
                raise RuntimeError("Chromium has ended")
            self.rest += data
        line, self.rest = self.rest.split(b"\0", 1)
        return json.loads(line)

    def page(self, url, width, height, downloads):
        return Page(self, url, width, height, downloads)


class Page:
    """A page of a visitor who has never been here: with a storage of its own."""

    def __init__(self, browser, url, width, height, downloads):
        self.browser = browser
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        browser.call(
            "Browser.setDownloadBehavior",
            behavior="allow",
            browserContextId=context,
            downloadPath=str(downloads),
        )
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Page.navigate", url=url)
        self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    def call(self, method, **options):
        return self.browser.call(method, self.session, **options)

    def run(self, code):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not self._holds(condition):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def _holds(self, condition):
        try:
            return self.run(condition)
        except RuntimeError as error:
            if "navigated" not in str(error):  # the page is just being left
                raise
            return False

    def click(self, selector):
        """As a finger or a mouse does it: where the middle of the element is, after it was
        brought into view.
        """
        x, y = self.run(f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2] }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, *keys, shift=False, control=False):
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 and not shift and not control else "")
            code = {"Tab": 9, "Enter": 13, " ": 32}.get(key, 0)  # without it Tab moves no focus
            options = {"key": key, "modifiers": 8 * shift + 2 * control, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **options)
            self.call("Input.dispatchKeyEvent", type="keyUp", **options)

    def drag(self, *points):
        """With the left mouse button, from point to point in px of the window."""
        for number, (x, y) in enumerate(points):
            options = {"x": x, "y": y, "button": "left", "buttons": 1}
            kind = "mouseMoved" if number else "mousePressed"
            self.call("Input.dispatchMouseEvent", type=kind, clickCount=1, **options)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", clickCount=1, **options)

    def wheel(self, x, y, down, control=False):
        """Turns the wheel by `down` px at a place; with control it is a pinch on a touch pad."""
        where = {"x": x, "y": y, "deltaX": 0, "deltaY": down, "modifiers": 2 * control}
        self.call("Input.dispatchMouseEvent", type="mouseWheel", **where)

    def touch(self, *moments):
        """Fingers: each moment is a list of the points where they are."""
        for number, points in enumerate(moments):
            fingers = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)]
            self.call(
                "Input.dispatchTouchEvent", type="touchMove" if number else "touchStart", touchPoints=fingers
            )
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def reload(self):
        self.run("window.old = true")
        self.call("Page.reload")
        self.until("!window.old && document.readyState == 'complete'")

    def screenshot(self, path):
        path.write_bytes(
            base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=False)["data"])
        )

    def complaints(self):
        """Errors and warnings of the console, and uncaught exceptions."""
        kinds = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [event for event in self._events() if event["method"] in kinds]

    def requests(self):
        """The addresses that were asked for, but for pictures inside the page."""
        urls = [
            event["params"]["request"]["url"]
            for event in self._events()
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def _events(self):
        return [event for event in self.browser.events if event.get("sessionId") == self.session]
