#!/usr/bin/python3
"""Finds what the documents point at and is not there. Reads files only: no link to elsewhere is followed.

    tools/check_links.py [--root DIR]

One line per finding, `file:line: what`. Exit code 1 if there is one. What it holds, for every *.md of the project:

- a relative link leads to a file or folder of the project, by the name as it is spelled;
- its #anchor is a heading there, as GitHub makes anchors of headings, or an explicit <a id="…">;
- a link to elsewhere is https (http for this machine), with a host and without blanks;
- a path in backticks that begins with a folder of the project (`src/x.h`, `tests/test_x.py::test_y`, `kernel/*.config`) is there;
- each page below docs/ can be reached from README.md.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

SKIPPED = {"build"}  # and whatever begins with a dot
FOLDERS = ("apps", "bench", "cmake", "deploy", "docs", "fuzz", "kernel", "packaging", "samples", "src", "tests", "tools")
LOCAL_HOSTS = {"127.0.0.1", "localhost"}

FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
CODE = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n\s*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)  # within one paragraph
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()\s>]*(?:\([^()\s]*\))?[^()\s>]*)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]\n]+\]:[ \t]+<?(\S+?)>?(?=\s|$)", re.MULTILINE)
HTML = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"]*)\"")
HTML_ID = re.compile(r"<[a-z][^>]*?\b(?:id|name)=\"([^\"]+)\"")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$")
NAMED_PATH = re.compile(r"^(?:" + "|".join(FOLDERS) + r")/[\w.*/+-]*(?:::[\w\[\]-]+)?$")


def without_fences(text):
    """The same lines; those of fenced blocks are empty."""
    fence, kept = None, []
    for line in text.splitlines():
        mark = FENCE.match(line)
        kept.append("" if fence or mark else line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = None
        elif mark:
            fence = mark[1]
    return "\n".join(kept)


def slug(heading):
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # of a link its words
    text = re.sub(r"<[^>]+>|[`*]", "", text).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors_of(text):
    found, seen = set(), {}
    for line in without_fences(text).splitlines():
        found.update(HTML_ID.findall(line))
        if heading := HEADING.match(line):
            name = slug(heading[1])
            again = seen[name] = seen.get(name, -1) + 1
            found.add(f"{name}-{again}" if again else name)
    return found


class Project:
    """The files below a root, read once."""

    def __init__(self, root):
        self.root = root.resolve()
        self.anchors = {}
        self.pages = sorted(path for path in self.root.rglob("*.md") if not self.skipped(path))

    def skipped(self, path):
        return any(part in SKIPPED or part.startswith(".") for part in path.relative_to(self.root).parts[:-1])

    def has(self, path):
        return self.root in (path, *path.parents) and path.exists()

    def has_anchor(self, page, anchor):
        if page not in self.anchors:
            self.anchors[page] = anchors_of(page.read_text(encoding="utf-8"))
        return anchor in self.anchors[page]


def wrong_address(target):
    """What is wrong with a link to elsewhere, or None."""
    try:
        parts = urlsplit(target)
    except ValueError as error:
        return str(error)
    if parts.scheme == "mailto":
        return None if "@" in parts.path else "no address"
    if parts.scheme not in ("https", "http"):
        return f"the scheme {parts.scheme}"
    if not parts.hostname:
        return "no host"
    local = parts.hostname in LOCAL_HOSTS
    if parts.scheme == "http" and not local:
        return "http, not https"
    return None if local or "." in parts.hostname else "a host without a dot"


def check_link(project, page, target):
    """(what is wrong or None, the page it leads to or None)"""
    if re.match(r"^[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
        wrong = wrong_address(target)
        return (wrong and f"link {target}: {wrong}"), None
    name, _, anchor = target.partition("#")
    if name.startswith("/") or not (name or anchor):
        return f"link {target or '()'}: neither relative nor an address", None
    there = Path(os.path.normpath(page.parent / unquote(name))) if name else page
    if not project.has(there):
        return f"link {target}: no such file", None
    if anchor and (there.suffix != ".md" or not project.has_anchor(there, anchor)):
        return f"link {target}: no heading of {there.relative_to(project.root)} makes this anchor", there
    return None, there


def check_named(project, page, text):
    """What is wrong with a path in backticks, or None."""
    if not NAMED_PATH.match(text):
        return None
    path = text.partition("::")[0].rstrip("/")
    for base in (project.root, page.parent):
        if any(True for _ in base.glob(path)) if "*" in path else (base / path).exists():
            return None
    return f"`{text}`: no such path"


def check_page(project, page):
    """Findings of a page, and the pages that it links to."""
    text = without_fences(page.read_text(encoding="utf-8"))
    bare = CODE.sub(lambda code: re.sub(r"[^\n]", "`", code[0]), text)  # as long as before
    wrong, leads_to = [], set()
    for code in CODE.finditer(text):
        wrong.append((code.start(), check_named(project, page, code[2].strip())))
    for pattern in (LINK, REFERENCE, HTML):
        for link in pattern.finditer(bare):
            said, there = check_link(project, page, link[1])
            wrong.append((link.start(1), said))
            leads_to.add(there)
    lines = [(text.count("\n", 0, at) + 1, said) for at, said in sorted(wrong, key=lambda found: found[0]) if said]
    return [f"{page.relative_to(project.root)}:{number}: {said}" for number, said in lines], leads_to


def unreachable(project, leads_to):
    """Pages below docs/ to which no chain of links leads from README.md; a link to a folder leads to its README.md."""
    waiting, found = [project.root / "README.md"], set()
    while waiting:
        page = waiting.pop()
        if page.is_dir():
            page = page / "README.md"
        if page not in found and page in leads_to:
            found.add(page)
            waiting += [there for there in leads_to[page] if there]
    docs = project.root / "docs"
    return [page for page in project.pages if docs in page.parents and page not in found]


def check(root):
    project = Project(root)
    findings, leads_to = [], {}
    for page in project.pages:
        said, leads_to[page] = check_page(project, page)
        findings += said
    findings += [f"{page.relative_to(project.root)}:1: no link leads here from README.md" for page in unreachable(project, leads_to)]
    return findings, len(project.pages)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    findings, pages = check(parser.parse_args().root)
    for finding in findings:
        print(finding)
    print(f"links: {pages} pages, {len(findings)} errors")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
