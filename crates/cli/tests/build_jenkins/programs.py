"""The page of programs, and XML-RPC, of a supervisor that runs beside the build server."""

import re
import sys
import time
import xmlrpc.client
from urllib.parse import quote, urljoin, urlsplit

import requests

url, user, token = sys.argv[1:4]


def same(what, seen, expected):
    assert seen == expected, f"{what} is {seen!r}, not {expected!r}"


def until(what, tell):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = tell()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


def server(name, secret):
    parts = urlsplit(url)
    return xmlrpc.client.ServerProxy(f"http://{name}:{quote(secret)}@{parts.netloc}/RPC2").supervisor


# XML-RPC, for administrators.
supervisor = server(user, token)
same("state", supervisor.getState()["statename"], "RUNNING")
known = {info["name"]: info for info in supervisor.getAllProcessInfo()}
assert {"builds", "steady", "idle"} <= set(known), known
until("steady", lambda: supervisor.getProcessInfo("steady")["statename"] == "RUNNING")
same("builds", supervisor.getProcessInfo("builds")["statename"], "RUNNING")
same("idle", known["idle"]["statename"], "STOPPED")
same("start", supervisor.startProcess("idle"), True)
same("idle", supervisor.getProcessInfo("idle")["statename"], "RUNNING")
same("stop", supervisor.stopProcess("idle"), True)
try:
    supervisor.startProcess("nobody")
    raise AssertionError("there is none")
except xmlrpc.client.Fault as fault:
    same("fault", fault.faultCode, 10)
proxy = xmlrpc.client.ServerProxy(f"http://{user}:{quote(token)}@{urlsplit(url).netloc}/RPC2")
calls = [{"methodName": f"supervisor.{name}", "params": []} for name in ("getState", "getPID")]
answer, pid = proxy.system.multicall(calls)
same("by one call", answer["statename"], "RUNNING")
assert pid > 1
assert "said by steady" in until("a log", lambda: supervisor.readProcessStdoutLog("steady", 0, 1000))
for name, secret, status in [("person", "a good password", 403), (user, "wrong", 401)]:
    try:
        server(name, secret).getState()
        raise AssertionError(f"{name} was let in")
    except xmlrpc.client.ProtocolError as error:
        same(name, error.errcode, status)
bare = f"{url}/RPC2"
call = xmlrpc.client.dumps((), "supervisor.getState")
same("nobody", requests.post(bare, data=call, headers={"Content-Type": "text/xml"}, timeout=30).status_code, 403)
same("by looking", requests.get(bare, auth=(user, token), timeout=30).status_code, 405)

# The page, by token.
page = requests.get(f"{url}/programs/", auth=(user, token), timeout=30)
same("page", page.status_code, 200)
for name in ["builds", "steady", "idle", "many:many_00", "many:many_01"]:
    assert f">{name}<" in page.text, page.text
read = requests.get(f"{url}/programs/", auth=("reader", "another good password"), timeout=30)
same("who may only read", read.status_code, 403)
assert "steady" not in read.text


def press(what, name, session=None, **form):
    place = f"{url}/programs/ward/{what}/{quote(name, safe='')}"
    asking = session or requests
    auth = None if session else (user, token)
    return asking.post(place, data=form, auth=auth, allow_redirects=False, timeout=60), place


def state(name):
    return supervisor.getProcessInfo(name)["statename"]


for name in ["idle", "many:many_01"]:
    answer, place = press("start", name)
    same("pressed", (answer.status_code, urljoin(place, answer.headers.get("Location", ""))), (303, f"{url}/programs/"))
    until(f"{name} runs", lambda: state(name) == "RUNNING")
    press("stop", name)
    until(f"{name} stops", lambda: state(name) == "STOPPED")
refused, _ = press("start", "nobody")
assert refused.status_code == 502 and "BAD_NAME" in refused.text, refused.text
same("not an order", press("remove", "idle")[0].status_code, 404)
hostile, _ = press("start", "<script>alert(1)</script>")
assert "<script>alert" not in hostile.text, hostile.text
same("by looking", requests.get(f"{url}/programs/ward/start/idle", auth=(user, token), timeout=30).status_code, 405)
same("idle", state("idle"), "STOPPED")

# The page, with a session: only with its crumb, and only for administrators.
session = requests.Session()
session.post(f"{url}/sign-in", data={"user": "boss", "password": "a very good password"}, timeout=60)
page = session.get(f"{url}/programs/", timeout=30).text
crumb = re.search(r'name="Jenkins-Crumb" value="([^"]*)"', page).group(1)
same("no crumb", press("start", "idle", session)[0].status_code, 403)
same("rpc, no crumb", session.post(bare, data=call, headers={"Content-Type": "text/xml"}, timeout=30).status_code, 403)
same("still", state("idle"), "STOPPED")
form = re.search(r'action="([^"]*)"[^>]*>(?:(?!</form>).)*Start', page[page.index(">idle<"):], re.S).group(1)
pressed = session.post(urljoin(f"{url}/programs/", form), data={"Jenkins-Crumb": crumb}, timeout=60)
same("pressed", pressed.status_code, 200)
until("idle runs", lambda: state("idle") == "RUNNING")
person = requests.Session()
person.post(f"{url}/sign-in", data={"user": "person", "password": "a good password"}, timeout=60)
same("no administrator", person.get(f"{url}/programs/", timeout=30).status_code, 403)
assert "Programs" not in person.get(f"{url}/", timeout=30).text
print("done")
