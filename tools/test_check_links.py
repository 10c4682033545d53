"""Tests of check_links.py on small trees; each thing that leads nowhere is planted and must be found. The last looks at this project."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_links  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def findings(root, page, **files):
    """What is found in README.md beside docs/guide.md and src/base/a.h."""
    tree = {"README.md": f"# Start\n\n[guide](docs/guide.md)\n{page}\n", "docs/guide.md": "# Guide\n\n## What `run` does, and why\n\n## Twice\n\n## Twice\n",
            "src/base/a.h": "", **files}
    for path, text in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return check_links.check(root)[0]


@pytest.mark.parametrize("page", [
    "[g](docs/guide.md#what-run-does-and-why), [2](docs/guide.md#twice-1), [here](#start), [folder](docs/), [a](./src/base/a.h)",
    "words that\n[go on\nin the next line](docs/guide.md) and [![a picture](docs/guide.md)](docs/guide.md)",
    "[by reference][1]\n\n[1]: docs/guide.md#twice",
    '<a id="mark"></a> [to it](#mark) <img src="docs/guide.md">',
    "https://example.com is bare; [x](https://example.com/a_(b)#c) [local](http://127.0.0.1:8480/) [post](mailto:you@example.com)",
    "`src/base/a.h` `src/base/*.h` `src/base/a.h::name` `src/base/` and `output/none` and `docs/NAME of yours`",
    "```\n[x](none.md) `src/none`\n```\n`[x](none.md)`",
    "~~~~\n```\n[x](none.md)\n~~~~",
])
def test_what_is_there_is_not_found(tmp_path, page):
    assert findings(tmp_path, page) == []


@pytest.mark.parametrize("page, said", [
    ("[x](docs/none.md)", "README.md:4: link docs/none.md: no such file"),
    ("[x](docs/Guide.md)", "README.md:4: link docs/Guide.md: no such file"),
    ("words\n\n[over two\nlines](none.md)", "README.md:7: link none.md: no such file"),
    ("![x](none.svg)", "README.md:4: link none.svg: no such file"),
    ("[x][1]\n\n[1]: none.md", "README.md:6: link none.md: no such file"),
    ('<img alt="x" src="none.svg">', "README.md:4: link none.svg: no such file"),
    ("[x](docs/guide.md#none)", "README.md:4: link docs/guide.md#none: no heading of docs/guide.md makes this anchor"),
    ("[x](docs/guide.md#twice-2)", "README.md:4: link docs/guide.md#twice-2: no heading of docs/guide.md makes this anchor"),
    ("[x](#guide)", "README.md:4: link #guide: no heading of README.md makes this anchor"),
    ("[x](src/base/a.h#L3)", "README.md:4: link src/base/a.h#L3: no heading of src/base/a.h makes this anchor"),
    ("[x](../elsewhere)", "README.md:4: link ../elsewhere: no such file"),
    ("[x](/docs/guide.md)", "README.md:4: link /docs/guide.md: neither relative nor an address"),
    ("[x]()", "README.md:4: link (): neither relative nor an address"),
    ("[x](http://example.com)", "README.md:4: link http://example.com: http, not https"),
    ("[x](https:///path)", "README.md:4: link https:///path: no host"),
    ("[x](https://example/path)", "README.md:4: link https://example/path: a host without a dot"),
    ("[x](ftp://example.com/)", "README.md:4: link ftp://example.com/: the scheme ftp"),
    ("`src/base/b.h`", "README.md:4: `src/base/b.h`: no such path"),
    ("`src/base/*.cc`", "README.md:4: `src/base/*.cc`: no such path"),
    ("`tests/test_none.py::test_x`", "README.md:4: `tests/test_none.py::test_x`: no such path"),
    ("```\ncode\n```\n`src/base/b.h`", "README.md:7: `src/base/b.h`: no such path"),
    ("a `wrapped\nname` and `src/base/b.h`", "README.md:5: `src/base/b.h`: no such path"),
])
def test_what_leads_nowhere_is_found(tmp_path, page, said):
    assert findings(tmp_path, page) == [said]


def test_a_page_that_nobody_finds(tmp_path):
    files = {"docs/README.md": "[one](one.md)", "docs/one.md": "", "docs/two.md": "[itself](two.md)"}
    assert findings(tmp_path, "[docs](docs/)", **files) == ["docs/two.md:1: no link leads here from README.md"]


def test_what_was_built_is_not_looked_at(tmp_path):
    assert findings(tmp_path, "", **{"build/page.md": "[x](none.md)", ".cache/page.md": "[x](none.md)"}) == []


def test_nothing_in_this_project_leads_nowhere():
    said, pages = check_links.check(ROOT)
    assert said == [] and pages > 20
