"""A person with a browser: signs in, sees a build as it happens, stops one, and forces another."""

import json
import os
import subprocess
import sys
import time

import requests

url, user, token = sys.argv[1:4]


def until(what, tell):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = tell()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {what}\n{page.text() if page else ''}")


class Browser:
    """Chromium, told what to do over two pipes (its DevTools protocol)."""

    def __init__(self):
        to_read, self.to = os.pipe()
        self.heard, to_write = os.pipe()

        def hand_over():
            # Both first out of the way of each other.
            one, other = os.dup(to_read), os.dup(to_write)
            os.dup2(one, 3)
            os.dup2(other, 4)

        words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        words += ["--remote-debugging-pipe", f"--user-data-dir={os.getcwd()}/profile", "about:blank"]
        self.process = subprocess.Popen(words, preexec_fn=hand_over, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.rest = b""
        self.number = 0
        self.complaints = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log"]:
            self.call(f"{domain}.enable")

    session = None

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.next()
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(answer["params"])
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def next(self):
        while b"\0" not in self.rest:
            piece = os.read(self.heard, 65536)
            assert piece, "the browser is gone"
            self.rest += piece
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def see(self, expression):
        try:
            answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        except AssertionError as error:
            # The page was left while it was asked.
            if "context" in str(error) or "navigated" in str(error):
                return None
            raise
        return answer["result"].get("value")

    def go(self, place):
        self.call("Page.navigate", url=place)
        until(place, lambda: self.see("document.readyState === 'complete' && location.href !== 'about:blank'"))

    def text(self):
        return self.see("location.href + '\\n' + document.body.innerText")

    def log(self):
        # What is out of sight has no `innerText`.
        return self.see("[...document.querySelectorAll('.l')].map(line => line.textContent).join('\\n')") or ""

    def press(self, action):
        found = self.see(f"""(() => {{ const form = document.querySelector('form[action$="{action}"]');
            if (!form) return false; form.querySelector('button').click(); return true; }})()""")
        assert found, (action, self.text())


def build(name, script):
    document = f"<project><builders><hudson.tasks.Shell><command>{script}</command></hudson.tasks.Shell></builders></project>"
    kind = {"Content-Type": "text/xml"}
    requests.post(f"{url}/createItem", params={"name": name}, data=document, headers=kind, auth=(user, token), timeout=30).raise_for_status()
    requests.post(f"{url}/job/{name}/build", auth=(user, token), timeout=30).raise_for_status()
    place = f"{url}/job/{name}/1"
    until(f"{name} runs", lambda: requests.get(f"{place}/api/json", auth=(user, token), timeout=30).status_code == 200)
    return place


def result(place):
    return requests.get(f"{place}/api/json", auth=(user, token), timeout=30).json()["result"]


page = None
page = Browser()
heeds = build("heeds", "#!/bin/sh\ntrap 'echo cleaning; echo cleaned up; exit 0' TERM\necho begun\ni=0\nwhile :; do i=$((i+1)); echo line $i; sleep 0.1; done")
page.go(f"{heeds}/")
assert "/sign-in?from=" in page.see("location.href"), page.text()
page.see("document.getElementById('user').value = 'person'; document.getElementById('password').value = 'a good password'; document.querySelector('form[action$=\"sign-in\"] button').click()")
until("inside", lambda: page.see("location.href") == f"{heeds}/" and page.see("document.readyState === 'complete'"))
assert page.see("document.cookie") == "", "no script sees the session"

# It is live: what is written after the page was made comes by itself, each line with its time.
LAST = "Math.max(0, ...[...document.querySelectorAll('.l')].map(l => /^line (\\d+)$/.exec(l.textContent)).filter(Boolean).map(m => +m[1]))"
first = until("a line", lambda: page.see(LAST))
until("more lines", lambda: (page.see(LAST) or 0) > first + 3)
assert page.see("[...document.querySelectorAll('.l')].filter(l => /^line/.test(l.textContent)).every(l => /\\d/.test(l.dataset.t || ''))"), page.see("document.getElementById('log').outerHTML")
assert page.see("!document.getElementById('follow').closest('label').hidden")
until("its processes", lambda: "sleep" in (page.see("document.getElementById('processes').textContent") or ""))

# Stopped by its button: what clean-up says is there, to the last line.
page.press("ward/stop")
until("the clean-up", lambda: "cleaned up" in page.log())
until("over", lambda: result(heeds) == "ABORTED")
until("said", lambda: "Finished: ABORTED" in page.log())
page.go(f"{heeds}/console")
lines = page.log()
assert "person" in lines and lines.rstrip().endswith("Finished: ABORTED"), lines
assert not page.see("!!document.querySelector('form[action$=\"ward/stop\"]')")

# One that does not heed it: the other button leaves it no more time.
stays = build("stays", "#!/bin/sh\ntrap '' TERM\necho begun\nwhile :; do sleep 0.1; done")
page.go(f"{stays}/")
until("begun", lambda: "begun" in page.log())
page.press("ward/stop")
until("it was told", lambda: "person" in page.log())
assert result(stays) is None, "it stays"
page.press("ward/force")
until("over", lambda: result(stays) == "ABORTED")
until("said", lambda: "Finished: ABORTED" in page.log())

# A text is found in the log by the form of the page.
page.go(f"{heeds}/console")
page.see("document.querySelector('input[name=find]').value = 'CLEANED'; document.querySelector('input[name=find]').form.submit()")
until("found", lambda: "#b" in (page.see("location.href") or ""))
assert until("marked", lambda: page.see("document.querySelector('.l:target') && document.querySelector('.l:target').textContent")) == "cleaned up"

# Nothing that a script or the policy of the pages complained about.
assert not page.complaints, page.complaints
page.process.kill()
page.process.wait()
print("done")
