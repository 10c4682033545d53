"""The diagrams are drawings that a person can read in a text editor, that need nothing from elsewhere, and that a page shows."""

import re
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DIAGRAMS = sorted((ROOT / "docs/diagrams").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
MAX_BYTES = 16 * 1024
DRAWN = {"rect", "path", "text", "g", "defs", "marker", "title", "desc"}


@pytest.fixture(params=DIAGRAMS, ids=lambda path: path.name)
def diagram(request):
    return request.param


def test_there_are_some():
    assert len(DIAGRAMS) >= 3


def test_it_is_small_drawn_by_hand_and_whole(diagram):
    assert diagram.stat().st_size < MAX_BYTES
    root = xml.parse(diagram).getroot()
    assert root.tag == SVG + "svg" and {element.tag.removeprefix(SVG) for element in root.iter()} <= DRAWN | {"svg"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert "href" not in name and not name.startswith("on") and not re.search(r"url\((?!#)|//", value), (element.tag, name, value)


def test_it_says_in_words_what_it_shows(diagram):
    root = xml.parse(diagram).getroot()
    labels = [root.find(SVG + name) for name in ("title", "desc")]
    assert all(label is not None and len(label.text) > 10 for label in labels)
    assert root.get("role") == "img" and root.get("aria-labelledby").split() == [label.get("id") for label in labels]
    assert len([element for element in root.iter(SVG + "text") if element.text]) > 10


def test_it_has_a_background_of_its_own_and_stays_inside(diagram):
    """So it can be read on a dark page and on a light one."""
    root = xml.parse(diagram).getroot()
    width, height = (float(root.get(name)) for name in ("width", "height"))
    assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
    first = root.find(SVG + "rect")
    assert (float(first.get("width")), float(first.get("height")), first.get("x")) == (width, height, None) and first.get("fill") == "#ffffff"
    for box in root.iter(SVG + "rect"):
        x, y, w, h = (float(box.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert 0 <= x and x + w <= width and 0 <= y and y + h <= height, box.attrib
    for text in root.iter(SVG + "text"):
        assert 0 < float(text.get("x")) < width and 0 < float(text.get("y")) < height, text.text


def test_a_page_shows_it_and_says_what_it_is(diagram):
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    shown = [words for page in pages for words in re.findall(r"!\[([^\]]*)\]\([^)\s]*" + re.escape(f"diagrams/{diagram.name}") + r"\)", page.read_text())]
    assert shown and all(len(words) > 20 for words in shown)
