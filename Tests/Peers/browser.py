# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven by its DevTools protocol; it notes whatever a page complains of or asks for."""

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

from websockets.sync.client import connect

from harness import eventually

KEYS = {"Tab": (9, None), "Enter": (13, "\r"), "ArrowRight": (39, None), "ArrowDown": (40, None), "Escape": (27, None)}


class Browser:
    """One process with one page."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="mesher-chromium-", ignore_cleanup_errors=True)
        command = [
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server"),
            *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
            *("--remote-debugging-port=0", f"--user-data-dir={self.directory.name}", "about:blank"),
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": self.directory.name},
        )  # fmt: skip
        place = Path(self.directory.name, "DevToolsActivePort")
        found = eventually(lambda: place.exists() and place.read_text().split(), "Chromium does not start", seconds=20)
        self._stack = contextlib.ExitStack()
        address = f"ws://127.0.0.1:{found[0]}{found[1]}"
        self.socket = self._stack.enter_context(connect(address, max_size=None, proxy=None))
        self.number, self.answers, self.events = 0, {}, []
        self.session, self._condition = None, threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        target = self.send("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in target if each["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _read(self):
        for text in self.socket:
            message = json.loads(text)
            with self._condition:
                if "id" in message:
                    self.answers[message["id"]] = message
                else:
                    self.events.append((message["method"], message.get("params", {})))
                self._condition.notify_all()

    def send(self, method, **parameters):
        """The result of one command."""
        with self._condition:
            self.number += 1
            number, session = self.number, {"sessionId": self.session} if self.session else {}
            self.socket.send(json.dumps({"id": number, "method": method, "params": parameters, **session}))
            assert self._condition.wait_for(lambda: number in self.answers, 20), f"no answer to {method}"
            answer = self.answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    def run(self, script):
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self, selector):
        """What a person reads there."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def click(self, selector, text=""):
        """Clicks the first element there that contains a text."""
        done = self.run(
            f"(() => {{ const all = [...document.querySelectorAll({json.dumps(selector)})];"
            f" const one = all.find(each => each.innerText.includes({json.dumps(text)}));"
            " one?.click(); return !!one; })()"
        )
        assert done, f"no {selector} with {text!r}"

    def press(self, key):
        """Presses a key and lets it go."""
        code, text = KEYS[key]
        more = {"text": text} if text else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **more)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def open(self, url):
        """Shows a page; what was noted before is forgotten."""
        self.events.clear()
        self.send("Page.navigate", url=url)

    def complaints(self):
        """Errors and warnings of the console, and exceptions."""
        found = []
        for method, what in list(self.events):
            if method == "Runtime.exceptionThrown":
                found.append(what["exceptionDetails"].get("exception", {}).get("description"))
            elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                found.append(str(what["args"]))
            elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                found.append(what["entry"]["text"])
        return found

    def requests(self):
        """The URLs that were asked for."""
        return [what["request"]["url"] for method, what in list(self.events) if method == "Network.requestWillBeSent"]

    def stop(self):
        self._stack.close()
        self.process.terminate()
        self.process.wait(10)
        self.directory.cleanup()
