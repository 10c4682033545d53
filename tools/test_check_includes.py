"""Tests of check_includes.py on small trees; each forbidden thing is planted and must be found."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_includes  # noqa: E402

TABLE = """# rooms
cloister_room(base EXTERNAL fmt)
cloister_room(crypto USES base EXTERNAL crypto)
cloister_room(http USES base crypto EXTERNAL json)
cloister_room(package USES base crypto EXTERNAL zstd)
cloister_room(emulator USES base
              http EXTERNAL json sqlite)
"""


def tree(root, files, table=TABLE):
    for path, text in {"src/CMakeLists.txt": table, **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def findings(root, files, sizes="error", table=TABLE):
    return [str(finding) for finding in check_includes.check_tree(tree(root, files, table), sizes)]


def test_clean_tree_has_no_findings(tmp_path):
    assert findings(tmp_path, {
        "src/base/a.h": "#pragma once\n#include <vector>\n#include <crypto/not_ours.h>\n",
        "src/crypto/aead.cc": '#include "crypto/aead.h"\n#include <openssl/evp.h>\n#include "base/a.h"\n',
        "src/http/server.cc": '#include <boost/beast.hpp>\n#include <nlohmann/json.hpp>\n#include "crypto/aead.h"\n',
        "src/package/stream.cc": "#include <zstd.h>\n",
        "src/emulator/store.cc": "#include <sqlite3.h>\n",
        "apps/cloisterd_sim.cc": '#include "emulator/nsm.h"\nint main() { return 0; }\n',
    }) == []


@pytest.mark.parametrize("path, line, message", [
    ("src/base/a.cc", '#include "crypto/aead.h"', "room base may not use room crypto"),
    ("src/package/p.cc", '#include "http/server.h"', "room package may not use room http"),
    ("src/package/p.h", '  #  include "http/server.h"', "room package may not use room http"),
    ("src/http/s.cc", '#include "emulator/nsm.h"', "room http may not use room emulator"),
    ("src/http/s.cc", '#include "server.h"', '"server.h" does not name its room'),
    ("src/http/s.cc", '#include "../base/a.h"', '"../base/a.h" does not name its room'),
    ("src/http/s.cc", '#include "nowhere/a.h"', '"nowhere/a.h": there is no room nowhere'),
    ("src/base/a.cc", "#include <crypto/aead.h>", '<crypto/aead.h> is ours: write "crypto/aead.h"'),
    ("src/http/s.cc", "#include <openssl/ssl.h>", "OpenSSL may not be included by room http"),
    ("src/http/s.cc", '#include "openssl/ssl.h"', "OpenSSL may not be included by room http"),
    ("src/http/s.h", "#include <boost/asio.hpp>", "Boost may be included by sources only, not by headers"),
    ("src/base/a.cc", "#include <boost/asio.hpp>", "Boost may not be included by room base"),
    ("src/http/s.cc", "#include <yaml-cpp/yaml.h>", "yaml-cpp may not be included by room http"),
    ("src/http/s.cc", "#include <sqlite3.h>", "SQLite may not be included by room http"),
    ("src/http/s.cc", "#include <seccomp.h>", "libseccomp may not be included by room http"),
    ("src/http/s.cc", "#include <zstd.h>", "zstd may not be included by room http"),
    ("src/package/p.cc", "#include <nlohmann/json.hpp>", "nlohmann-json may not be included by room package"),
    ("apps/cloisterd.cc", '#include "emulator/nsm.h"', "program cloisterd may not contain the emulator"),
    ("apps/cloister/main.cc", '#include "emulator/nsm.h"', "program cloister may not contain the emulator"),
    ("apps/init.cc", "#include <openssl/ssl.h>", "OpenSSL may not be included by room of apps"),
])
def test_forbidden_include_is_found(tmp_path, path, line, message):
    found = findings(tmp_path, {"src/crypto/aead.h": "", path: f"// first\n{line}\n"})
    assert [entry for entry in found if entry.startswith(f"{path}:2: ") and message in entry], found


def test_commented_include_is_not_an_include(tmp_path):
    assert findings(tmp_path, {"src/base/a.cc": '// #include "crypto/aead.h"\n'}) == []


def test_file_outside_the_rooms_is_found(tmp_path):
    assert findings(tmp_path, {"src/stray.cc": "\n"}) == [
        "src/stray.cc:1: belongs to no room of src/CMakeLists.txt"]
    assert "src/other/x.cc:1: belongs to no room of src/CMakeLists.txt" in findings(
        tmp_path, {"src/other/x.cc": "\n"})


def test_table_must_point_up(tmp_path):
    table = "cloister_room(base USES crypto)\ncloister_room(crypto)\n"
    assert findings(tmp_path, {}, table=table) == [
        "src/CMakeLists.txt:1: room base uses crypto, which is not listed above it"]


@pytest.mark.parametrize("table", ["", "cloister_room(a)\ncloister_room(a)\n", "cloister_room(a b)\n"])
def test_broken_table_is_an_error(tmp_path, table):
    found = findings(tmp_path, {}, table=table)
    assert len(found) == 1 and found[0].startswith("src/CMakeLists.txt:1: ")


def test_long_main_is_found_whatever_the_sizes(tmp_path):
    text = "int main() {\n" + "\n" * 60 + "}\n"
    assert any("a main of 62 lines" in entry for entry in findings(tmp_path, {"apps/init.cc": text}, sizes="off"))


def test_sizes(tmp_path):
    files = {"src/base/long.h": "\n" * 200, "src/base/long.cc": "\n" * 400,
             "src/base/fits.h": "\n" * 199, "src/base/fits.cc": "\n" * 399}
    assert [entry.split(":")[0] for entry in findings(tmp_path, files)] == ["src/base/long.cc", "src/base/long.h"]
    assert all("warning: " in entry for entry in findings(tmp_path, files, sizes="warn"))
    assert findings(tmp_path, files, sizes="off") == []


def test_exit_code(tmp_path, monkeypatch, capsys):
    tree(tmp_path, {"src/base/long.h": "\n" * 300})
    monkeypatch.setattr(sys, "argv", ["check_includes.py", "--root", str(tmp_path)])
    assert check_includes.main() == 0
    assert "0 errors, 1 warnings" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["check_includes.py", "--root", str(tmp_path), "--sizes", "error"])
    assert check_includes.main() == 1
