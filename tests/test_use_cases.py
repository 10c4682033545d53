"""The three ways to use an application: with the owner's model and data, with the user's data, with the user's model too.

The commands are those of docs/guide.md, and so is what they must print.
"""

import csv
import json
import shutil
import subprocess

import pytest


SUCCESS = "cloister: classify 1 ran successfully\n"


@pytest.fixture(scope="module")
def sample(repository):
    return repository / "samples/classify"


@pytest.fixture(scope="module")
def folder(lab, sample):
    package, signer = lab.encrypt(sample / "app", lab.make_key("1"), "classify")
    lab.ok("user", "signer", "add", "orchard", signer)
    lab.up()
    made = lab.sync("work")
    shutil.copy(package, made / "encrypted")
    return made


def classify(lab, arguments, script="classify.py"):
    done = lab.run("user", "run", "-f", "classify.cloister", "-s", script, "-a", arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == SUCCESS
    return done.stdout


def rows_of(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def copy_into(source, target):
    """cp -r SOURCE/* TARGET/, as people type it."""
    done = subprocess.run(f"cp -r '{source}'/* '{target}/'", shell=True, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


def test_the_owners_model_on_the_owners_data(lab, folder):
    said = classify(lab, "-m model/fruit.json -d data/ -o /output/")
    assert said == "model model/fruit.json: apple, lemon, plum\norchard.csv: 18 fruit sorted, 18 of 18 right\n"
    rows = rows_of(folder / "output/orchard.sorted.csv")
    assert len(rows) == 18 and all(row["guess"] == row["kind"] for row in rows)
    # Neither the model nor the data is the user's to see: not in the folder, only ciphertext in the package.
    shown = {path.name for path in folder.rglob("*")}
    assert not shown & {"fruit.json", "orchard.csv", "classify.py"}
    assert b"weight_g" not in (folder / "encrypted/classify.cloister").read_bytes()


def test_the_owners_model_on_the_users_data(lab, folder, sample):
    copy_into(sample / "user/dataset", folder / "dataset")
    said = classify(lab, "-m model/fruit.json -d /dataset/ -o /output/")
    assert said == "model model/fruit.json: apple, lemon, plum\nmarket.csv: 12 fruit sorted\n"
    rows = rows_of(folder / "output/market.sorted.csv")
    assert [row["guess"] for row in rows[:5]] == ["apple", "plum", "apple", "plum", "lemon"]
    assert [{name: row[name] for name in ("weight_g", "length_mm", "hue")} for row in rows] == rows_of(folder / "dataset/market.csv")


def test_the_users_model_on_the_users_data(lab, folder, sample):
    copy_into(sample / "user/model", folder / "model")
    (folder / "hedge").mkdir()
    copy_into(sample / "user/hedge", folder / "hedge")
    said = classify(lab, "-m /model/hedge.json -d /hedge/ -o /output/")
    assert said == "model /model/hedge.json: bullace, medlar, sloe\nbasket.csv: 15 fruit sorted, 14 of 15 right\n"
    wrong = [row for row in rows_of(folder / "output/basket.sorted.csv") if row["guess"] != row["kind"]]
    assert [(row["kind"], row["guess"]) for row in wrong] == [("sloe", "bullace")]


def test_a_model_fitted_in_the_enclave(lab, folder, sample):
    (folder / "known").mkdir()
    copy_into(sample / "user/known", folder / "known")
    said = classify(lab, "-d /known/ -o /output/hedge.json", script="fit.py")
    assert said == "/output/hedge.json: a model of 30 fruit, bullace, medlar, sloe\n"
    assert json.loads((folder / "output/hedge.json").read_text()) == json.loads((sample / "user/model/hedge.json").read_text())


def test_the_users_model_and_data_cannot_be_changed_by_the_application(lab, folder):
    """fit.py writes wherever it is told; only /output takes it."""
    (folder / "model/mine.json").write_text("{}")
    (folder / "known").mkdir(exist_ok=True)
    (folder / "known/one.csv").write_text("hue,kind\n1,a\n")
    for target in ("/model/mine.json", "/known/one.csv", "/encrypted/classify.cloister"):
        done = lab.run("user", "run", "-f", "classify.cloister", "-s", "fit.py", "-a", f"-d /known/ -o {target}")
        assert done.returncode == 1, (target, done)
    assert (folder / "model/mine.json").read_text() == "{}"
    assert (folder / "known/one.csv").read_text() == "hue,kind\n1,a\n"


def test_missing_data_is_the_applications_own_failure(lab, folder):
    (folder / "nothing").mkdir()
    done = lab.run("user", "run", "-f", "classify.cloister", "-s", "classify.py", "-a", "-m model/fruit.json -d /nothing/ -o /output/")
    assert (done.returncode, done.stdout) == (1, "model model/fruit.json: apple, lemon, plum\nno CSV file in /nothing\n")
    assert done.stderr == "cloister: classify 1 ended with exit code 1\n"
