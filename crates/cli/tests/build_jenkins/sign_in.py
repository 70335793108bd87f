"""What a browser does at the page to sign in at."""

import re
import sys
from urllib.parse import urljoin

import requests

url, user, token = sys.argv[1:4]


def same(what, seen, expected):
    assert seen == expected, f"{what} is {seen!r}, not {expected!r}"


def browser():
    session = requests.Session()
    session.headers["Accept"] = "text/html"
    return session


def sign_in(session, name, password, **more):
    form = {"user": name, "password": password, **more}
    return session.post(f"{url}/sign-in", data=form, allow_redirects=False, timeout=60)


# Nobody sees anything; a browser is sent to the page, and from there to where it wanted to be.
session = browser()
first = session.get(f"{url}/job/of-file/", timeout=30)
same("the page", first.url, f"{url}/sign-in?from=%2Fjob%2Fof-file%2F")
assert "of-file" not in first.text.replace("/job/of-file/", ""), first.text
assert not session.cookies, session.cookies
wanted = re.search(r'name="from" value="([^"]*)"', first.text).group(1)
same("wanted", wanted, "/job/of-file/")

# Wrong: no cookie, and the same answer whoever it is.
for name, password in [("person", "wrong"), ("nobody", "wrong"), ("person", ""), ("", ""), (user, "")]:
    answer = sign_in(session, name, password, **{"from": wanted})
    same("wrong", (answer.status_code, answer.headers["Location"]), (303, "/sign-in?failed=1&from=%2Fjob%2Fof-file%2F"))
    assert "Set-Cookie" not in answer.headers and not session.cookies
assert "not the name and password" in session.get(f"{url}/sign-in?failed=1", timeout=30).text

# A form of another site signs nobody in.
for headers in [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]:
    forged = session.post(f"{url}/sign-in", data={"user": "person", "password": "a good password"}, headers=headers, allow_redirects=False, timeout=60)
    same("forged", (forged.status_code, "Set-Cookie" in forged.headers), (403, False))

# Right: the cookie is for this site alone, no script sees it, and no other site sends it.
answer = sign_in(session, "person", "a good password", **{"from": wanted})
same("right", (answer.status_code, answer.headers["Location"]), (303, "/job/of-file/"))
cookie = answer.headers["Set-Cookie"]
attributes = sorted(part.strip() for part in cookie.split(";")[1:])
same("cookie", attributes, ["HttpOnly", "Path=/", "SameSite=Strict"])
value = session.cookies["ward_session"]
assert len(value) >= 22, value
page = session.get(f"{url}/job/of-file/", timeout=30)
same("inside", page.status_code, 200)
assert "person" in page.text and "Sign out" in page.text
assert "a good password" not in page.text and value not in page.text

# Each session has its own; one that was there before is not taken over.
other = browser()
other.cookies.set("ward_session", "chosen-by-somebody-else")
sign_in(other, "person", "a good password")
assert {cookie.value for cookie in other.cookies} & {value} == set()
assert other.cookies.get_dict()["ward_session"] != "chosen-by-somebody-else"

# What changes something wants the page's crumb, and that of this session.
crumb = re.search(r'name="Jenkins-Crumb" value="([^"]*)"', page.text).group(1)
its = re.search(r'name="Jenkins-Crumb" value="([^"]*)"', other.get(f"{url}/job/of-file/", timeout=30).text).group(1)
assert crumb != its
start = f"{url}/job/of-file/ward/start"
for wrong in [{}, {"Jenkins-Crumb": ""}, {"Jenkins-Crumb": its}, {"Jenkins-Crumb": crumb[:-1]}]:
    same("no crumb", session.post(start, data=wrong, allow_redirects=False, timeout=30).status_code, 403)
started = session.post(start, data={"Jenkins-Crumb": crumb}, allow_redirects=False, timeout=30)
same("started", started.status_code, 303)
back = urljoin(start, started.headers["Location"])
same("back", back, f"{url}/job/of-file/")

# Whoever is signed out is nobody, also with the cookie that they had.
out = session.post(f"{url}/sign-out", data={"Jenkins-Crumb": crumb}, allow_redirects=False, timeout=30)
same("out", out.status_code, 303)
assert "Max-Age=0" in out.headers["Set-Cookie"], out.headers
gone = requests.get(f"{url}/api/json", cookies={"ward_session": value}, timeout=30)
same("gone", gone.status_code, 403)
same("other", other.get(f"{url}/job/of-file/", timeout=30).status_code, 200)

# Who guesses is told nothing, and the right password still lets in afterwards.
for number in range(5):
    same("guess", sign_in(browser(), "person", f"guess {number}").status_code, 303)
same("after all", sign_in(browser(), "person", "a good password").headers["Location"], "/")
print("done")
