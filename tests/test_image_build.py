"""`cloister image build`: what goes into an image, the same bytes every time, and what is refused."""

import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

SECONDS = 300  # of one build; Debian's packages take the longest


@pytest.fixture(scope="module")
def programs(binaries, tmp_path_factory):
    """The enclave's programs: cloisterd, and an init that does nothing, as nothing here is booted."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "init.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["cc", "-static", "-Os", "-o", folder / "cloister-init", folder / "init.c"], check=True)
    shutil.copy(binaries["cloisterd"], folder / "cloisterd")
    return folder


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """What a bzImage says of itself, and no more (Documentation/arch/x86/boot.rst)."""
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = struct.pack("<H", 0x300)
    text = b"6.12.1-test (x@y) #1"
    head[0x500 : 0x500 + len(text)] = text
    path = tmp_path_factory.mktemp("kernel") / "bzImage"
    path.write_bytes(head)
    return path


class Builder:
    def __init__(self, cloister, programs, kernel, folder):
        self.cloister, self.programs, self.kernel, self.folder = cloister, programs, kernel, folder
        authority = folder / "ca.pem"
        authority.write_text("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n")

    def run(self, *words, **options):
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.folder), "CLOISTER_HOME": str(self.folder)}
        environment |= options.pop("env", {})
        if "CLOISTER_DEBIAN_MIRROR" in os.environ:
            environment["CLOISTER_DEBIAN_MIRROR"] = os.environ["CLOISTER_DEBIAN_MIRROR"]
        return subprocess.run([self.cloister, "image", *map(str, words)], env=environment, capture_output=True, text=True, timeout=SECONDS, **options)

    def recipe(self, text, folder=None):
        path = (folder or self.folder) / "recipe.yaml"
        path.write_text("name: test\nversion: 1\n" + text)
        return path

    def build(self, recipe, output=None, **options):
        output = output or self.folder / "out.eif"
        return self.run("build", recipe, "-o", output, *self.common(), **options)

    def common(self):
        return "--programs", self.programs, "--kernel", self.kernel, "--kms-ca", self.folder / "ca.pem"

    def good(self, text, **options):
        done = self.build(self.recipe(text), **options)
        assert done.returncode == 0, done.stderr
        return read_image(self.folder / "out.eif")

    def refused(self, text):
        """The one line (and its hint) of a build that must fail, and leave no image behind."""
        (self.folder / "out.eif").unlink(missing_ok=True)
        done = self.build(self.recipe(text))
        assert done.returncode == 1 and not (self.folder / "out.eif").exists()
        lines = [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]
        return lines[-1].removeprefix("cloister: ")


@pytest.fixture
def builder(binaries, programs, kernel, tmp_path):
    return Builder(binaries["cloister"], programs, kernel, tmp_path)


def read_image(path):
    """The ramdisks' files: per ramdisk a dictionary of path to (mode, uid, gid, content)."""
    data = path.read_bytes()
    count = struct.unpack(">H", data[26:28])[0]
    offsets, sizes = struct.unpack(">32Q", data[28:284]), struct.unpack(">32Q", data[284:540])
    ramdisks = []
    for i in range(count):
        if struct.unpack(">H", data[offsets[i] : offsets[i] + 2])[0] == 3:
            packed = data[offsets[i] + 12 : offsets[i] + 12 + sizes[i]]
            ramdisks.append(read_cpio(zstandard.ZstdDecompressor().decompressobj().decompress(packed)))
    return ramdisks


def read_cpio(data):
    at, files, linked = 0, {}, {}
    while True:
        field = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 109 + field[11]].decode()
        if name == "TRAILER!!!":
            break
        at = (at + 110 + field[11] + 3) // 4 * 4
        files[name] = (field[1], field[2], field[3], data[at : at + field[6]], field[0])
        if stat.S_ISREG(field[1]) and field[4] > 1:
            linked.setdefault(field[0], []).append(name)
        assert field[5] == 0, "a time"
        at = (at + field[6] + 3) // 4 * 4
    for names in linked.values():
        for name in names:
            files[name] = files[name][:3] + files[names[-1]][3:]
    return {name: entry[:4] for name, entry in files.items()}


def content(files, name):
    return files[name][3].decode()


# --- the image's parts ----------------------------------------------------------------------------------------


def test_supervisor_alone(builder):
    (boot,) = builder.good("base: none\nmode: emulated\nenvironment: {B: two words, A: one}\n")
    assert sorted(boot) == sorted(
        "dev dev/console etc etc/cloister etc/cloister/command_line etc/cloister/contents etc/cloister/environment "
        "etc/cloister/trust.json init newroot proc run sys tmp "
        "usr usr/lib usr/lib/cloister usr/lib/cloister/cloisterd".split()
    )
    assert all(entry[1:3] == (0, 0) for entry in boot.values())
    assert boot["init"][0] == 0o100755 and boot["dev/console"][0] == stat.S_IFCHR | 0o600 and boot["tmp"][0] == 0o41777
    assert content(boot, "etc/cloister/environment") == "A=one\nB=two words\n"
    assert content(boot, "etc/cloister/command_line").startswith("reboot=k ")
    assert content(boot, "etc/cloister/contents").startswith("5 ")  # files: those of the list but itself
    trust = json.loads(content(boot, "etc/cloister/trust.json"))
    assert trust["mode"] == "emulated" and "BEGIN CERTIFICATE" in trust["kms_ca_bundle"]
    assert (builder.folder / "out.eif").stat().st_size < 40 << 20


def test_the_programs_bring_no_debug_information(builder, programs):
    (boot,) = builder.good("base: none\n")
    program = boot["usr/lib/cloister/cloisterd"][3]
    assert len(program) < (programs / "cloisterd").stat().st_size
    loose = builder.folder / "cloisterd"
    loose.write_bytes(program)
    loose.chmod(0o755)
    assert b".debug_info" not in program
    # It still runs, as far as it goes outside of an enclave.
    done = subprocess.run([loose, "--version"], capture_output=True, timeout=20)
    assert done.returncode >= 0, done


def test_the_same_bytes_elsewhere(builder, tmp_path):
    """Another folder, umask, locale, time zone and user; other times, owners and permissions of what goes in."""
    outputs = []
    for number, (umask, environment) in enumerate([(0o022, {}), (0o077, {"LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Tokyo"})]):
        folder = tmp_path / f"place-{number}" / ("x" * 50 * number)
        before = os.umask(umask)
        try:
            for name in ("tree/b", "tree/a", "tree/c"):
                (folder / name).mkdir(parents=True)
                (folder / name / "file").write_text(name)
            (folder / "tree/run.sh").write_text("#!/bin/sh\n")
        finally:
            os.umask(before)
        (folder / "tree/run.sh").chmod(0o755 & ~umask)
        os.utime(folder / "tree/a/file", (number * 1000, number * 1000))
        builder.recipe("base: {directory: tree}\nfiles: [{from: tree/run.sh, to: /opt/run}]\n", folder)
        place = folder
        options = {}
        if number == 1 and os.geteuid() == 0:
            for path in [tmp_path, *tmp_path.parents[:2], *folder.parents[:1], *folder.rglob("*"), folder]:
                path.chmod(path.stat().st_mode | 0o055)
            os.chown(folder, 65534, 65534)
            options = {"user": 65534, "group": 65534, "extra_groups": []}
            for path in [builder.programs, *builder.programs.iterdir(), builder.kernel.parent, builder.programs.parent]:
                path.chmod(path.stat().st_mode | 0o055)
        done = builder.build("recipe.yaml", "out.eif", env=environment, cwd=place, umask=umask, **options)
        assert done.returncode == 0, done.stderr
        outputs.append((folder / "out.eif").read_bytes())
    assert outputs[0] == outputs[1]


def test_directory_as_base(builder):
    tree = builder.folder / "root"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/x").write_text("x")
    (tree / "usr/bin/x").chmod(0o4711)
    (tree / "bin").symlink_to("usr/bin")
    (tree / "tmp").mkdir()
    (tree / "tmp/left").write_text("left over")
    (builder.folder / "more").mkdir()
    (builder.folder / "more/y").write_text("y")
    _, runtime = builder.good("base: {directory: root}\nfiles: [{from: more, to: /bin, owner: 7:8}, {from: more/y, to: /etc/y, mode: '0600'}]\n")
    assert runtime["usr/bin/x"] == (0o100755, 0, 0, b"x")
    assert runtime["bin"][0] == 0o120777 and content(runtime, "bin") == "usr/bin"
    assert runtime["usr/bin/y"] == (0o100644, 7, 8, b"y")  # through the link, which stays
    assert runtime["etc/y"] == (0o100600, 0, 0, b"y")
    assert "tmp/left" not in runtime
    _, runtime = builder.good("base: {directory: root}\nwithout: [/bin/x]\n")
    assert "usr/bin/x" not in runtime and "bin" in runtime
    assert builder.refused("base: {directory: root}\nwithout: [/usr/bin/z]\n") == "without: there is no /usr/bin/z"
    os.mkfifo(tree / "usr/pipe")
    assert builder.refused("base: {directory: root}\n") == f"{tree}: /usr/pipe is neither file, directory nor link"


@pytest.mark.parametrize("name", ["init", "etc/cloister/trust.json", "usr/lib/cloister/x", "newroot/x"])
def test_a_runtime_takes_no_place_of_the_supervisor(builder, name):
    place = builder.folder / "root" / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    assert "a name that the enclave's own first ramdisk has" in builder.refused("base: {directory: root}\n")


@pytest.mark.parametrize("name", ["usr", "etc", "dev"])
def test_a_runtime_hides_nothing_behind_links(builder, name):
    (builder.folder / "root").mkdir()
    (builder.folder / "root" / name).symlink_to("elsewhere")
    assert f"/{name} of the root file system is not a directory" in builder.refused("base: {directory: root}\n")


# --- container images -----------------------------------------------------------------------------------------


def entry(name, data=b"", kind=tarfile.REGTYPE, link="", mode=0o644, uid=0, gid=0):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode, info.uid, info.gid = len(data), kind, link, mode, uid, gid
    return info, data


def layer(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def configuration(layers, architecture="amd64"):
    return json.dumps({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]}}).encode()


def write_layout(folder, layers, packed=None, architecture="amd64", wrong=None):
    """An OCI layout; `packed` says how each layer is compressed; `wrong` names the blob whose content is changed."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data, name=None):
        (blobs / digest(data).split(":")[1]).write_bytes(data + b" " if name is not None and name == wrong else data)
        return {"digest": digest(data), "size": len(data), "mediaType": "application/octet-stream"}

    pack = {None: bytes, "gzip": gzip.compress, "zstd": zstandard.compress}
    packs = packed or [None] * len(layers)
    listed = [put(pack[how](one), "layer") for how, one in zip(packs, layers, strict=True)]
    manifest = json.dumps({"schemaVersion": 2, "config": put(configuration(layers, architecture), "config"), "layers": listed}).encode()
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [put(manifest, "manifest")]}))
    return folder


LAYERS = [
    layer(
        entry("./", kind=tarfile.DIRTYPE, mode=0o755),
        entry("usr/lib", kind=tarfile.DIRTYPE, mode=0o755),
        entry("lib", kind=tarfile.SYMTYPE, link="usr/lib"),
        entry("usr/bin/tool", b"tool", mode=0o4755, uid=1, gid=2),
        entry("usr/bin/alias", kind=tarfile.LNKTYPE, link="usr/bin/tool"),
        entry("etc/gone", b"gone"),
        entry("etc/kept", b"kept"),
        entry("data/old", b"old"),
        entry("data/deep/older", b"older"),
        entry("dev/null", kind=tarfile.CHRTYPE),
    ),
    layer(
        entry("data/new", b"new"),  # before the opaque mark, yet of this layer
        entry("data/.wh..wh..opq"),
        entry("etc/.wh.gone"),
        entry("lib/through", b"through"),
        entry("etc/second", kind=tarfile.LNKTYPE, link="etc/kept"),
    ),
]


def check_layers(runtime):
    assert runtime["usr/bin/tool"] == (0o100755, 1, 2, b"tool") == runtime["usr/bin/alias"]
    assert "etc/gone" not in runtime and content(runtime, "etc/kept") == "kept" == content(runtime, "etc/second")
    assert [name for name in runtime if name.startswith("data/")] == ["data/new"]
    assert content(runtime, "usr/lib/through") == "through" and runtime["lib"][0] == 0o120777
    assert not any(name.startswith("dev/") or ".wh." in name for name in runtime)


def test_oci_layout(builder):
    write_layout(builder.folder / "oci", LAYERS, packed=["gzip", "zstd"])
    _, runtime = builder.good("base: {oci: oci}\n")
    check_layers(runtime)
    with tarfile.open(builder.folder / "oci.tar", "w") as tar:
        tar.add(builder.folder / "oci", arcname=".")
    before = (builder.folder / "out.eif").read_bytes()
    builder.good("base: {oci: oci.tar}\n")
    assert (builder.folder / "out.eif").read_bytes() == before


def test_docker_archive(builder):
    files = {"config.json": configuration(LAYERS), "a/layer.tar": LAYERS[0], "b/layer.tar": LAYERS[1]}
    files["manifest.json"] = json.dumps([{"Config": "config.json", "RepoTags": ["x:y"], "Layers": ["a/layer.tar", "b/layer.tar"]}]).encode()
    (builder.folder / "image.tar").write_bytes(layer(*(entry(name, data) for name, data in files.items())))
    _, runtime = builder.good("base: {oci: image.tar}\n")
    check_layers(runtime)
    files["b/layer.tar"] = layer(entry("etc/evil", b"evil"))
    (builder.folder / "image.tar").write_bytes(layer(*(entry(name, data) for name, data in files.items())))
    assert "layer 2 unpacks to sha256:" in builder.refused("base: {oci: image.tar}\n")


@pytest.mark.parametrize("blob", ["layer", "config", "manifest"])
def test_a_blob_with_other_content(builder, blob):
    write_layout(builder.folder / "oci", LAYERS, wrong=blob)
    assert "has other content: its SHA-256 is" in builder.refused("base: {oci: oci}\n")


HOSTILE = {
    "absolute": ([entry("/etc/passwd", b"x")], "the name '/etc/passwd' is absolute"),
    "above": ([entry("a/../../x", b"x")], "leads out of its root ('..')"),
    "hard link out": ([entry("x", kind=tarfile.LNKTYPE, link="../../etc/passwd")], "leads out of its root ('..')"),
    "hard link absolute": ([entry("x", kind=tarfile.LNKTYPE, link="/etc/passwd")], "the name '/etc/passwd' is absolute"),
    "hard link to nothing": ([entry("x", kind=tarfile.LNKTYPE, link="etc/none")], "which is no file of this image"),
    "hard link through a link": (
        [entry("l", kind=tarfile.SYMTYPE, link="/"), entry("x", kind=tarfile.LNKTYPE, link="l/etc/passwd")],
        "which is no file of this image",
    ),
    "fifo": ([entry("x", kind=tarfile.FIFOTYPE)], "x is neither file, directory nor link"),
    "device": ([entry("x", kind=tarfile.BLKTYPE)], "x is neither file, directory nor link"),
    "links in a ring": ([entry("l", kind=tarfile.SYMTYPE, link="l/l"), entry("l/x", b"x")], "links go"),
    "below a file": ([entry("f", b"f"), entry("f/x", b"x")], "f is not a directory"),
    "init": ([entry("init", b"x")], "a name that the enclave's own first ramdisk has"),
    "init by a link": ([entry("l", kind=tarfile.SYMTYPE, link="/"), entry("l/init", b"x")], "the enclave's own first ramdisk has"),
    "whiteout above": ([entry("a/.wh..."), entry("init", b"x")], "the enclave's own first ramdisk has"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_layers(builder, name):
    entries, message = HOSTILE[name]
    write_layout(builder.folder / "oci", [layer(*entries)])
    assert message in builder.refused("base: {oci: oci}\n")


def test_a_link_leads_to_the_image_and_never_to_this_machine(builder):
    victim = builder.folder / "victim"
    victim.mkdir()
    write_layout(builder.folder / "oci", [layer(entry("out", kind=tarfile.SYMTYPE, link=str(victim)), entry("out/planted", b"x"))])
    _, runtime = builder.good("base: {oci: oci}\n")
    assert list(victim.iterdir()) == [] and str(victim / "planted")[1:] in runtime


def test_for_another_architecture(builder):
    write_layout(builder.folder / "oci", LAYERS, architecture="arm64")
    assert builder.refused("base: {oci: oci}\n") == f"{builder.folder}/oci: it is for arm64, not amd64"


def test_not_a_container_image(builder):
    (builder.folder / "oci").mkdir()
    assert builder.refused("base: {oci: oci}\n").endswith("is neither an OCI layout nor a docker archive")


# --- recipes --------------------------------------------------------------------------------------------------

RECIPES = {
    "base: none\nfrom: debian\n": "line 4: unknown member 'from'",
    "base: none\nmode: simulated\n": "line 4: 'simulated' is neither emulated nor production",
    "base: {directory: ../../..}\n": "line 3: ../../.. leads out of the recipe's folder: write an absolute path if you mean it",
    "base: none\ntrust: ca.pem\n": "/ca.pem is not a trust file (docs/formats/trust.md)",
    "base: {directory: empty}\npip: loose.txt\n": "loose.txt: 'pillow==1' has no --hash=sha256:…",
    "base: {directory: empty}\npip: none.txt\n": "pip: there is no /usr/bin/python3.X in the root file system",
    "base: none\nmemory_mib: 16\n": "memory_mib: 16 is less than the 256 that this image needs to start",
    "base: [\n": "line",
}


@pytest.mark.parametrize("text", RECIPES)
def test_recipes_that_are_refused(builder, text):
    (builder.folder / "empty").mkdir()
    (builder.folder / "loose.txt").write_text("pillow==1  # no hash\n")
    (builder.folder / "none.txt").write_text("# nothing\n")
    assert RECIPES[text] in builder.refused(text)


@pytest.mark.parametrize("version", ["6.5.9", "4.14.246", "nonsense"])
def test_kernels_that_are_too_old(builder, kernel, version):
    old = bytearray(kernel.read_bytes())
    old[0x500:0x520] = version.encode().ljust(32, b"\0")
    builder.kernel = builder.folder / "old"
    builder.kernel.write_bytes(old)
    assert builder.refused("base: none\n").endswith(f"is Linux {version}, and 6.6 or newer is wanted")


def test_no_kernel_and_no_program(builder):
    builder.kernel = builder.folder / "ca.pem"
    assert "is not a kernel for x86_64: a bzImage is wanted" in builder.refused("base: none\n")
    builder.programs = builder.folder
    assert builder.refused("base: none\n") == f"there is no {builder.folder}/cloister-init"


def test_a_program_with_a_loader(builder, programs):
    builder.programs = builder.folder
    shutil.copy("/bin/true", builder.folder / "cloister-init")
    shutil.copy(programs / "cloisterd", builder.folder / "cloisterd")
    assert "is not static" in builder.refused("base: none\n")


# --- wheels ---------------------------------------------------------------------------------------------------


def write_wheel(folder, name, files):
    path = folder / f"{name}-1.0-py3-none-any.whl"
    files = {f"{name}/__init__.py": "", **files}
    info = f"{name}-1.0.dist-info"
    files |= {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = "".join(f"{member},,\n" for member in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(member, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_wheels(builder):
    if subprocess.run(["/usr/bin/python3", "-m", "pip", "--version"], capture_output=True).returncode != 0:
        pytest.skip("needs python3-pip")
    (builder.folder / "root/usr/bin").mkdir(parents=True)
    (builder.folder / "root/usr/bin/python3.11").write_text("python")
    sha256 = write_wheel(builder.folder, "small", {"small/data.txt": "data"})
    requirements = builder.folder / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {builder.folder}\nsmall==1.0 \\\n  --hash=sha256:{sha256}\n")
    outputs = []
    for umask in (0o022, 0o077):
        _, runtime = builder.good("base: {directory: root}\npip: requirements.txt\n", umask=umask)
        outputs.append((builder.folder / "out.eif").read_bytes())
    assert outputs[0] == outputs[1]
    place = "usr/local/lib/python3.11/dist-packages/"
    assert content(runtime, place + "small/data.txt") == "data" and place + "small-1.0.dist-info/METADATA" in runtime
    assert not any(name.endswith(".pyc") for name in runtime)
    requirements.write_text(requirements.read_text().replace(sha256, "0" * 64))
    refusal = builder.refused("base: {directory: root}\npip: requirements.txt\n")
    assert refusal.startswith("/usr/bin/python3 failed (1): ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"), refusal


# --- verifying ------------------------------------------------------------------------------------------------


def test_verify_names_what_differs(builder):
    tree = builder.folder / "root"
    tree.mkdir()
    for name in ("same", "changed", "gone"):
        (tree / name).write_text(name)
    builder.good("base: {directory: root}\n")
    recipe, image = builder.folder / "recipe.yaml", builder.folder / "out.eif"
    done = builder.run("verify", image, "--recipe", recipe, *builder.common())
    assert done.returncode == 0 and "makes the same image" in done.stdout, done.stdout + done.stderr
    (tree / "changed").write_text("CHANGED")
    (tree / "gone").unlink()
    (tree / "new").write_text("new")
    (tree / "same").chmod(0o755)
    done = builder.run("verify", image, "--recipe", recipe, *builder.common())
    assert done.returncode == 1
    for line in ("ramdisk 2: /changed: other content", "ramdisk 2: /gone: not of the recipe", "ramdisk 2: /new: missing", "ramdisk 2: /same: mode 644, not 755"):
        assert line in done.stdout
    for number in range(30):
        (tree / f"more-{number}").write_text("")
    recipe.write_text(recipe.read_text() + "command_line: quiet\n")
    done = builder.run("verify", image, "--recipe", recipe, *builder.common())
    assert "command line: '" in done.stdout and "and 27 more" in done.stdout  # two of them in the first ramdisk, which says what has to be there


# --- Debian ---------------------------------------------------------------------------------------------------


@pytest.mark.timeout(SECONDS)
def test_debian_packages_twice(builder):
    """One small build, and again under another umask and locale. (docs/images.md: two builds of a snapshot are equal for good.)"""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("needs mmdebstrap")
    if os.geteuid() != 0:
        pytest.skip("needs root, or subordinate ids that a test cannot count on")
    recipe = builder.recipe("base: {debian: bookworm, packages: [media-types]}\n")
    first, second = builder.folder / "1.eif", builder.folder / "2.eif"
    done = builder.build(recipe, first)
    if "cannot be read" in done.stderr or "Could not resolve" in done.stderr or "unable to download" in done.stderr:
        pytest.skip("Debian's mirror is out of reach")
    assert done.returncode == 0, done.stderr
    done = builder.build(recipe, second, umask=0o077, env={"LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Tokyo"})
    assert done.returncode == 0, done.stderr
    assert first.read_bytes() == second.read_bytes()
    _, runtime = read_image(first)
    assert "etc/mime.types" in runtime and "usr/bin/dash" in runtime and runtime["bin"][0] == 0o120777
    left = [n for n in runtime if n.startswith(("usr/share/doc/", "usr/share/man/", "var/log/", "var/cache/", "etc/apt/", "dev/", "usr/share/perl/5"))]
    assert left == [] and not {"etc/machine-id", "etc/shadow", "etc/resolv.conf", "etc/hostname"} & set(runtime)
