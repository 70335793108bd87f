"""Tests of the pages, as JUnit's XML: every page has a title, every link leads somewhere.

    check.py PUBLIC RESULTS

It ends well whatever it finds: what failed is in the results.
"""

import html.parser
import pathlib
import sys
import time
import urllib.parse
import xml.etree.ElementTree as ET


class Page(html.parser.HTMLParser):
    """What is looked at in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.title = ""
        self._in_title = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._in_title = tag == "title"
        if tag == "a":
            self.links.extend(value for name, value in attrs if name == "href" and value)

    def handle_endtag(self, tag):
        self._in_title = False

    def handle_data(self, data):
        if self._in_title:
            self.title += data


def broken(public: pathlib.Path, page: Page) -> list[str]:
    found = []
    for link in page.links:
        parts = urllib.parse.urlsplit(link)
        if parts.scheme or parts.netloc or not parts.path:
            continue
        if not (public / urllib.parse.unquote(parts.path)).is_file():
            found.append(link)
    return found


def main() -> None:
    public, results = (pathlib.Path(word) for word in sys.argv[1:3])
    suite = ET.Element("testsuite", name="pages")
    failures = 0
    for path in sorted(public.glob("*.html")):
        page = Page(path.read_text(encoding="utf-8"))
        tests = {
            "has a title": [] if page.title.strip() else ["there is none"],
            "links lead somewhere": broken(public, page),
        }
        for name, wrong in tests.items():
            begun = time.perf_counter()
            case = ET.SubElement(suite, "testcase", classname=path.stem, name=name)
            if wrong:
                failures += 1
                failure = ET.SubElement(case, "failure", message=f"{path.name}: {', '.join(wrong)}")
                failure.text = "\n".join(wrong)
            case.set("time", f"{time.perf_counter() - begun:.6f}")
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    ET.ElementTree(suite).write(results, encoding="utf-8", xml_declaration=True)
    print(f"{len(suite)} tests, {failures} failed")


if __name__ == "__main__":
    main()
