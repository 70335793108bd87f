"""Makes pages of HTML from texts.

    generate.py PAGES PUBLIC

A text begins with `# Title`. Lines that begin with `## ` are headings, with `- ` items; a blank line ends a
paragraph; `[words](place)` is a link. Every page links to every other.
"""

import html
import pathlib
import re
import sys

LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
STYLE = "body{font:1.1rem/1.5 sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}nav a{margin-right:1rem}"


def inline(text: str) -> str:
    parts, at = [], 0
    for found in LINK.finditer(text):
        parts.append(html.escape(text[at : found.start()]))
        words, place = (html.escape(group) for group in found.groups())
        parts.append(f'<a href="{place}">{words}</a>')
        at = found.end()
    return "".join(parts) + html.escape(text[at:])


def body(lines: list[str]) -> str:
    out: list[str] = []
    paragraph: list[str] = []
    items: list[str] = []

    def end() -> None:
        if paragraph:
            out.append(f"<p>{inline(' '.join(paragraph))}</p>")
        if items:
            out.append("<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>")
        paragraph.clear()
        items.clear()

    for line in lines:
        if line.startswith("## "):
            end()
            out.append(f"<h2>{inline(line[3:])}</h2>")
        elif line.startswith("- "):
            if paragraph:
                end()
            items.append(line[2:])
        elif line.strip():
            if items:
                end()
            paragraph.append(line.strip())
        else:
            end()
    end()
    return "\n".join(out)


def main() -> None:
    pages, public = (pathlib.Path(word) for word in sys.argv[1:3])
    texts = {}
    for source in sorted(pages.glob("*.md")):
        first, *rest = source.read_text(encoding="utf-8").splitlines()
        texts[source.stem] = (first.removeprefix("# ").strip(), rest)
    if "index" not in texts:
        sys.exit(f"{pages} has no index.md")
    public.mkdir(parents=True, exist_ok=True)
    for old in public.glob("*.html"):
        old.unlink()
    links = "".join(f'<a href="{name}.html">{html.escape(title)}</a>' for name, (title, _) in texts.items())
    for name, (title, lines) in texts.items():
        page = (
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f"<style>{STYLE}</style>\n<nav>{links}</nav>\n<h1>{html.escape(title)}</h1>\n{body(lines)}\n</html>\n"
        )
        (public / f"{name}.html").write_text(page, encoding="utf-8")
        print(f"{name}.html: {title}")


if __name__ == "__main__":
    main()
