"""Manual pages and completions say what --help says: every verb, every option, an example for each; and shells and readers take them."""

import re
import shutil
import subprocess

import pytest

SECONDS = 20


def ask(binaries, *words):
    done = subprocess.run([binaries["cloister"], *words], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0 and done.stderr == "", (words, done)
    return done.stdout


def verbs_below(text):
    section = text.partition("Subcommands:\n")[2].partition("\nExample:\n")[0]
    return re.findall(r"^  ([a-z][a-z-]*)", section, re.MULTILINE)


@pytest.fixture(scope="module")
def helps(binaries):
    """Path of each verb → its help; the embedded KMS explains itself."""
    found, waiting = {}, [""]
    while waiting:
        path = waiting.pop()
        text = found[path] = ask(binaries, *path.split(), "--help")
        if path != "kms":
            waiting += [f"{path} {name}".strip() for name in verbs_below(text)]
    assert {"run", "encrypt", "key allow", "signer add", "completion"} <= set(found)
    found.pop("kms")
    return found


def options_in(text):
    """The options of a help, long and short."""
    lines = re.findall(r"^  (-\S*)", text, re.MULTILINE)
    return [name for names in lines for name in names.split(",") if name.startswith("-")]


@pytest.fixture(scope="module")
def pages(binaries, tmp_path_factory):
    directory = tmp_path_factory.mktemp("man1")
    ask(binaries, "manual", directory)
    return {path.name: path for path in directory.iterdir()}


def page_of(path):
    return f"cloister-{path.replace(' ', '-')}.1" if path else "cloister.1"


def test_every_verb_has_an_example(helps):
    for path, text in helps.items():
        example = text.partition("\nExample:\n")[2].strip().splitlines()
        assert example and all(f"cloister {path}".strip() in line for line in example), path


def test_every_option_is_explained(helps):
    for path, text in helps.items():
        for line in re.findall(r"^  (-.*)$", text, re.MULTILINE):
            names = line.split()[0]
            assert len(line) > len(names) + 8 or re.search(re.escape(line) + r"\n {20,}\S", text), (path, line)


def test_every_verb_and_option_has_its_page(helps, pages):
    assert set(pages) == {page_of(path) for path in helps} | {"cloister-kms.1"}
    for path, text in helps.items():
        page = pages[page_of(path)].read_text()
        assert re.search(r"^\.SH EXAMPLES\n\.nf\n.*cloister", page, re.MULTILINE), path
        for option in options_in(text):
            assert "\\fB" + option.replace("-", "\\-") + "\\fR" in page, (path, option)
        for verb in verbs_below(text):
            assert f"cloister {path} {verb}".replace("  ", " ").replace(" ", "\\-") + "\\fR(1)" in page, (path, verb)


@pytest.mark.parametrize("command", [["groff", "-ww", "-man", "-Tutf8"], ["mandoc", "-T", "lint", "-W", "warning"], ["man", "--warnings", "-E", "UTF-8", "-l"]],
                         ids=lambda command: command[0])
def test_readers_of_manuals_have_nothing_to_say(pages, command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"SKIP: no {command[0]}")
    for path in pages.values():
        done = subprocess.run([*command, path], capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
        said = [line for line in (done.stderr + (done.stdout if command[0] == "mandoc" else "")).splitlines() if "missing date" not in line]
        assert said == [], (path.name, said)
        if command[0] == "groff":
            assert "SYNOPSIS" in re.sub(".\b", "", done.stdout)  # bold is a letter over itself


ASK_BASH = r"""
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_cloister
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash(binaries, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bash")
    script = directory / "cloister"
    script.write_text(ask(binaries, "completion", "bash"))
    work = directory / "work"
    (work / "some dir").mkdir(parents=True)
    (work / "model.cloister").touch()
    (work / "two words.json").touch()

    def complete(*words):
        """What is offered for the last word."""
        done = subprocess.run(["bash", "--norc", "-c", ASK_BASH, "bash", script, "cloister", *words], cwd=work, capture_output=True, text=True,
                              timeout=SECONDS)
        assert done.returncode == 0 and done.stderr == "", done
        return sorted(line for line in done.stdout.splitlines() if line)
    return complete


def test_bash_offers_every_verb_and_option(helps, bash):
    for path, text in helps.items():
        words = path.split()
        below = verbs_below(text)
        assert set(below) <= set(bash(*words, "")), path
        assert sorted(set(options_in(text))) == bash(*words, "-"), path


@pytest.mark.parametrize("words, offered", [
    (["enc"], ["encrypt"]),
    (["up", "--backend", ""], ["nitro", "process", "qemu"]),
    (["up", "--backend", "=", "pro"], ["process"]),
    (["up", "--backend", "="], ["nitro", "process", "qemu"]),
    (["sync", "--ownership", ""], ["keep", "mine"]),
    (["proxy", "-s", ""], ["kms"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
    (["key", "al"], ["allow"]),
    (["key", "allow", "--ima"], ["--image"]),
    (["key", "allow", "--image", "two"], ["two words.json"]),
    (["key", "allow", "-k", ""], []),
    (["inspect", ""], ["model.cloister", "some dir", "two words.json"]),
    (["inspect", "--json", "mod"], ["model.cloister"]),
    (["encrypt", "-d", ""], ["some dir"]),
    (["encrypt", "--from-legacy", "mo"], ["model.cloister"]),
    (["encrypt", "-k", ""], []),
    (["kms", ""], ["init", "serve", "stop"]),
    (["run", "--", "-"], []),
    (["no-such-verb", ""], []),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_bash_completes(bash, words, offered):
    assert bash(*words) == offered


@pytest.mark.parametrize("shell, check", [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])], ids=["bash", "zsh", "fish"])
def test_shells_take_their_scripts(binaries, helps, tmp_path, shell, check):
    text = ask(binaries, "completion", shell)
    for path, shown in helps.items():
        for option in options_in(shown):
            written = option if shell != "fish" else f" -l {option[2:]} " if option.startswith("--") else f" -s {option[1:]} "
            assert written in text, (path, option)
    if shutil.which(check[0]) is None:
        pytest.skip(f"SKIP: no {check[0]}")
    script = tmp_path / f"script.{shell}"
    script.write_text(text)
    done = subprocess.run([*check, script], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0 and done.stderr == "", done


@pytest.mark.parametrize("line, offered", [
    ("cloister enc", ["encrypt"]), ("cloister key al", ["allow"]), ("cloister key allow --ima", ["--image"]), ("cloister up --backend ", ["nitro", "process", "qemu"]),
    ("cloister sync --ownership ", ["keep", "mine"]), ("cloister completion ", ["bash", "fish", "zsh"])])
def test_fish_completes(binaries, tmp_path, line, offered):
    if shutil.which("fish") is None:
        pytest.skip("SKIP: no fish")
    script = tmp_path / "cloister.fish"
    script.write_text(ask(binaries, "completion", "fish"))
    done = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"], capture_output=True, text=True, timeout=SECONDS,
                          env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    assert sorted(word.split("\t")[0] for word in done.stdout.splitlines()) == offered, done


def test_an_unknown_shell_is_named(binaries):
    done = subprocess.run([binaries["cloister"], "completion", "csh"], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1 and "no completion for 'csh': bash, zsh and fish have one" in done.stderr


def test_an_installation_has_them(binaries, helps, tmp_path):
    done = subprocess.run(["cmake", "--install", binaries.build, "--prefix", tmp_path, "--component", "programs"], capture_output=True, text=True,
                          timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "share/man/man1").iterdir()} >= {page_of(path) for path in helps}
    # `image build` looks for cloister-init and cloisterd beside cloister, `up --backend qemu` for cloister-nsm, and its hint names the script.
    for name in ("cloister", "cloister-init", "cloister-nsm", "cloisterd", "cloister-fetch-qemu"):
        assert (tmp_path / "bin" / name).stat().st_mode & 0o111, name
    for place in ("bash-completion/completions/cloister", "zsh/site-functions/_cloister", "fish/vendor_completions.d/cloister.fish"):
        assert (tmp_path / "share" / place).stat().st_size > 0, place
