"""What a reader would otherwise have to find by hand."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = [ROOT / name for name in subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()]
CODE = [f for f in FILES if f.suffix in (".cc", ".h", ".py") and f.exists()]


def test_no_file_is_past_800_lines():
    assert [str(f) for f in CODE if len(f.read_text("utf-8").splitlines()) > 800] == []


def test_no_line_is_past_its_bound():
    long = [f"{f}:{n}" for f in CODE for n, line in enumerate(f.read_text("utf-8").splitlines(), 1)
            if len(line) > (100 if f.suffix != ".py" else 110)]
    assert long == []


def test_nothing_is_left_for_later():
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    assert [str(f) for f in CODE if marks.search(f.read_text("utf-8"))] == []


def test_each_connector_folder_is_in_the_one_list():
    cmake = (ROOT / "src/connectors/CMakeLists.txt").read_text("utf-8")
    listed = set(re.search(r"^sluice_connectors\(([^)]*)\)", cmake, re.M)[1].split())
    folders = {f.name for f in (ROOT / "src/connectors").iterdir()
               if f.is_dir() and (f / "schema.json").exists()}
    assert folders == listed


def test_public_headers_hide_the_heavy_libraries():
    heavy = re.compile(r"#include <(boost/beast|boost/asio/ssl|nlohmann/json\.hpp|spdlog|curl|sqlite3|"
                       r"simdjson)")
    sources = [f for f in CODE if f.is_relative_to(ROOT / "src")]
    included = {(name, file.relative_to(ROOT / "src").parts[0]) for file in sources
                for name in re.findall(r'#include "([\w/]+\.h)"', file.read_text("utf-8"))}
    public = {name for name, by in included if name.split("/")[0] != by}
    assert [name for name in sorted(public) if (ROOT / "src" / name).exists()
            and heavy.search((ROOT / "src" / name).read_text("utf-8"))] == []


def test_arrows_between_folders_go_one_way():
    below = {"base": 0, "model": 1, "catalogue": 1, "filters": 2, "recordlog": 2, "catalog": 2, "http": 2,
             "egress": 2, "kafka": 2, "signing": 2, "formats": 2, "simulate": 2, "connectors": 3, "ingest": 4,
             "dispatch": 4, "alerts": 5, "api": 5, "server": 6, "cli": 7}
    wrong = []
    for file in CODE:
        if not file.is_relative_to(ROOT / "src") or file.name.endswith("_test.cc"):
            continue
        folder = file.relative_to(ROOT / "src").parts[0]
        if file.name == "main.cc":
            continue
        for used in re.findall(r'#include "(\w+)/', file.read_text("utf-8")):
            if used in below and used != folder and below[used] >= below[folder] \
                    and not (below[used] == below[folder] == 2):
                wrong.append(f"{file.relative_to(ROOT)} includes {used}")
    assert wrong == []


def test_tests_that_the_documents_name_exist():
    named = {found for page in FILES if page.suffix == ".md" and page.exists()
             for found in re.findall(r"`([\w/]+\.(?:cc|py))::(\w+)`", page.read_text("utf-8"))}
    missing = [f"{file}::{test}" for file, test in sorted(named)
               if not re.search(rf"(def {test}\(|^TEST\w*\(\w+,\s*{test}\))",
                                (ROOT / file).read_text("utf-8"), re.M)]
    assert named and missing == []
