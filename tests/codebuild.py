"""Runs what is in a CodeBuild project as it stands: the commands of its buildspec, with its environment, as its role. What CodeBuild does around
them (containers, fetching the source, logs, credentials by an endpoint) is not here. apt-get is a stand-in that notes its words."""

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

COMMAND_SECONDS = 120
STAND_IN = '#!/bin/sh\necho "{name} $*" >> "{log}"\n'


def stand_ins(folder, *names):
    """Programs that only note how they were called, beside the AWS CLI of this Python. The folder and the notes."""
    place, log = folder / "stand-ins", folder / "stand-ins.log"
    place.mkdir(exist_ok=True)
    log.write_text("")
    for name in names:
        (place / name).write_text(STAND_IN.format(name=name, log=log))
        (place / name).chmod(0o755)
    if not (place / "aws").exists():
        (place / "aws").symlink_to(Path(sys.executable).parent / "aws")
    return place, log


def package_of(files):
    """A tar.gz of Cloister's programs as deploy/aws/README.md makes it: bytes and their SHA-256. files: name → link target, or content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        top = tarfile.TarInfo("./")
        top.type, top.mode = tarfile.DIRTYPE, 0o700  # of whoever has a strict umask: /usr/local must not get it
        archive.addfile(top)
        for name, what in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.mode = 0o755
            if isinstance(what, bytes):
                entry.size = len(what)
                archive.addfile(entry, io.BytesIO(what))
            else:
                entry.type, entry.linkname = tarfile.SYMTYPE, str(what)
                archive.addfile(entry)
    return out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest()


class Project:
    def __init__(self, cloud, account, name, folder):
        self.cloud, self.folder = cloud, folder
        self.landed = cloud.client("codebuild", account).batch_get_projects(names=[name])["projects"][0]
        self.variables = {one["name"]: one["value"] for one in self.landed["environment"]["environmentVariables"]}
        assert all(self.variables.values()), "CodeBuild wants a value for each variable"
        self.buildspec = yaml.safe_load(self.landed["source"]["buildspec"])
        self.role = self.landed["serviceRole"].rpartition("/")[2]
        self.credentials = cloud.session(account, self.role)
        self.path, self.installed = stand_ins(folder, "apt-get")
        (folder / "prefix").mkdir(mode=0o755)

    def phase(self, name, source, **overrides):
        """The commands of a phase, until one fails; overrides are StartBuild's. What they said, and the exit code."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        env = {"PATH": f"{self.path}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(home), "LC_ALL": "C.UTF-8",
               **self.cloud.environment(self.credentials), **self.variables, "CLOISTER_PREFIX": str(self.folder / "prefix"), **overrides}
        said = ""
        for command in self.buildspec["phases"][name]["commands"]:
            done = subprocess.run([self.buildspec["env"]["shell"], "-c", command], cwd=source, env=env, text=True, timeout=COMMAND_SECONDS,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said += done.stdout
            if done.returncode != 0:
                return done.returncode, said
        return 0, said

    def build(self, source, **overrides):
        code, said = self.phase("build", source, **overrides)
        assert code == 0, said
        return said
