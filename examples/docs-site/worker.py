"""Looks now and then whether a site is there, and says so when that changes.

    worker.py URL SECONDS
"""

import sys
import threading
import time
import urllib.error
import urllib.request


def state(url: str) -> str:
    """What the site says of itself: its title, or why there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read(65536).decode("utf-8", "replace")
    except (urllib.error.URLError, OSError, ValueError) as error:
        return f"does not answer ({error})"
    title = text.partition("<title>")[2].partition("</title>")[0].strip()
    return f"serves `{title}`" if title else "serves a page without a title"


def main() -> None:
    url, interval = sys.argv[1], float(sys.argv[2])
    before = None
    while True:
        now = state(url)
        if now != before:
            print(time.strftime("%H:%M:%S"), url, now, flush=True)
        before = now
        threading.Event().wait(interval)


if __name__ == "__main__":
    main()
