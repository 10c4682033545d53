"""Where credentials come from, which of them go into the enclave, and where nothing of them is left."""

import json
import os
import re
import subprocess
import sys

import pytest

import lab as laboratory
from fake_aws import ACCOUNT, Container, Instance, Sts, key, signed
from fake_kms import Middle, FakeKms, refusal
from processes import processes_below, user_of

pytestmark = pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))

SECONDS = 40
KEEPER, LISTENER = 61001, 61002  # users, src/enclave/monitor.cc
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/50f0c510-7f25-428e-a634-7d61b2239391"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/decrypter"
ASK_BOTOCORE = """
import botocore.session, json
found = botocore.session.get_session().get_credentials().get_frozen_credentials()
print(json.dumps([found.access_key, found.secret_key, found.token]))
"""


@pytest.fixture(scope="module")
def servers():
    made = {"instance": Instance(), "container": Container("Bearer pod"), "sts": Sts()}
    yield made
    for server in made.values():
        server.close()


# --- sources ------------------------------------------------------------------------------------------------------

FILE = "[default]\naws_access_key_id = AKIAFILEFILEFILE\naws_secret_access_key = file/secret\n"
TASK = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{container}/v2/credentials/id?x=1", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer pod"}
HOST = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{instance}"}
PRINTED = '{"Version": 1, "AccessKeyId": "AKIAPROCESSPROCESS", "SecretAccessKey": "process/secret", "SessionToken": "process/token"}'
ROLES = """[profile two]
role_arn = {ROLE}-2
source_profile = one
external_id = agreed
role_session_name = second
duration_seconds = 1800
[profile one]
role_arn = {ROLE}-1
source_profile = default
role_session_name = first
"""
SOURCES = {  # name: (variables, ~/.aws/credentials, ~/.aws/config)
    "environment": ({"AWS_ACCESS_KEY_ID": "AKIAENVENVENVENV", "AWS_SECRET_ACCESS_KEY": "env/secret", "AWS_SESSION_TOKEN": "env/token"}, FILE, ""),
    "file": ({}, FILE, ""),
    "named profile": ({"AWS_PROFILE": "x"}, "", "[profile x]\n" + FILE.partition("\n")[2]),
    "process": ({}, "", f"[default]\ncredential_process = /bin/echo '{PRINTED}'\n"),
    "container": (TASK | HOST, "", ""),
    "instance": (HOST, "", ""),
    "role": ({"AWS_PROFILE": "one"}, FILE, ROLES),
    "roles in a row": ({"AWS_PROFILE": "two"}, FILE, ROLES),
    "role of a container": (TASK, "", "[default]\nrole_arn = {ROLE}\ncredential_source = EcsContainer\nrole_session_name = task\n"),
    "role of an instance": (HOST, "", "[default]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\nrole_session_name = host\n"),
    "web identity": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/jwt", "AWS_ROLE_ARN": ROLE, "AWS_ROLE_SESSION_NAME": "pod"}, "", ""),
}


@pytest.fixture
def home(lab, short_dir, servers):
    """A person with an empty home; environment(variables, credentials, config) fills it."""
    (short_dir / ".aws").mkdir()
    (short_dir / "jwt").write_text("aaa.bbb.ccc")
    places = {name: server.url for name, server in servers.items()} | {"home": str(short_dir), "ROLE": ROLE}

    def placed(text):
        return re.sub(r"\{(\w+)\}", lambda m: places[m[1]], text)

    def environment(variables, credentials, config):
        (short_dir / ".aws/credentials").write_text(credentials)
        (short_dir / ".aws/config").write_text(placed(config))
        env = {name: value for name, value in lab.environment("owner").items()
               if not name.startswith("AWS_") or name in ("AWS_CA_BUNDLE", "AWS_EC2_METADATA_DISABLED")}
        env |= {"HOME": str(short_dir), "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
        return env | {"AWS_ENDPOINT_URL_STS": servers["sts"].url} | {name: placed(value) for name, value in variables.items()}

    sts = servers["sts"]
    sts.know("AKIAFILEFILEFILE", "file/secret", f"arn:aws:iam::{ACCOUNT}:user/file")
    for server in (servers["instance"], servers["container"]):
        there = server.document
        sts.know(there["AccessKeyId"], there["SecretAccessKey"], f"arn:aws:sts::{ACCOUNT}:assumed-role/host/i-1", there["Token"])
    return environment


@pytest.fixture
def refusing(lab):
    """A KMS that hears who asks, and refuses."""
    made = FakeKms(lab)
    made.heard = []
    made.answer = lambda heard: made.heard.append(heard) or refusal(400, "AccessDeniedException", "no")
    yield made
    made.close()


def encrypt(lab, env, kms):
    application = lab.root / "owner/nothing"
    application.mkdir(exist_ok=True)
    (application / "a.py").write_text("")
    words = ["encrypt", "-d", application, "-k", KEY, "--name", "n", "-o", lab.root / "owner/n.cloister"]
    return subprocess.run([lab.cloister, *map(str, words)], env=env | {"AWS_ENDPOINT_URL_KMS": kms.url}, cwd=lab.root,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)


@pytest.mark.parametrize("name", SOURCES)
def test_botocore_finds_the_same(lab, home, refusing, name):
    env = home(*SOURCES[name])
    patient = env | {"AWS_METADATA_SERVICE_TIMEOUT": "10", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3"}
    asked = subprocess.run([sys.executable, "-c", ASK_BOTOCORE], env=patient, capture_output=True, text=True, check=True, timeout=SECONDS)
    key_id, secret, token = json.loads(asked.stdout)
    done = encrypt(lab, env, refusing)
    assert done.returncode == 1 and "AccessDeniedException" in done.stderr, done.stderr
    heard = refusing.heard[0]
    assert heard.fields["Authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={key_id}/")
    assert heard.fields.get("X-Amz-Security-Token") == token
    assert heard.fields["Authorization"] == signed(refusing.url + "/", heard.fields, heard.body, secret)


UNUSABLE = {  # what is wrong: (variables, credentials, config, what is printed, the hint)
    "sign-on": ({}, "", "[default]\nsso_session = x\n", "sso_session", "export-credentials --profile default"),
    "code": ({}, FILE, "[default]\nrole_arn = r\nsource_profile = default\nmfa_serial = m\n", "mfa_serial", "export-credentials"),
    "loop": ({"AWS_PROFILE": "a"}, "", "[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = a\n",
             "leads back to itself", None),
    "stranger": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}, "", "", "not asked in the clear from 192.0.2.1", "https"),
    "wrong token": (TASK | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush"}, "", "", "answered 401", None),
    "nobody": ({}, "", "", "no AWS credentials in the environment", "set AWS_ACCESS_KEY_ID"),
    "past": ({"AWS_ACCESS_KEY_ID": "AKIAENVENVENVENV", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"},
             "", "", "they expired at 2020-01-01T00:00:00Z", "get new ones"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used(lab, home, refusing, name):
    *given, message, hint = UNUSABLE[name]
    done = encrypt(lab, home(*given), refusing)
    assert done.returncode == 1 and message in done.stderr and (hint or "") in done.stderr, done.stderr
    assert "hush" not in done.stderr and not refusing.heard


def test_the_instance_keeps_to_version_2(lab, home, refusing, servers):
    instance = servers["instance"]
    done = encrypt(lab, home(*SOURCES["instance"]), refusing)
    assert "AccessDeniedException" in done.stderr
    before = len(instance.heard)
    instance.tokens = False
    try:
        done = encrypt(lab, home(*SOURCES["instance"]), refusing)
        assert "gives no session token (IMDSv2): it answered 405" in done.stderr
        assert [method for method, *_ in instance.heard[before:]] == ["PUT"]
        done = encrypt(lab, home(*SOURCES["instance"]) | {"CLOISTER_ALLOW_IMDSV1": "true"}, refusing)
        assert "AccessDeniedException" in done.stderr
    finally:
        instance.tokens = True
    instance.document, kept = instance.document | key("instance", -60), instance.document
    try:
        done = encrypt(lab, home(*SOURCES["instance"]), refusing)
        assert "AWS credentials from the EC2 instance: they expired at" in done.stderr
    finally:
        instance.document = kept


# --- sessions -----------------------------------------------------------------------------------------------------


class Counter(Middle):
    """KMS, for whoever shows a session that STS gave: passes on what is asked, as the lab's user."""

    def __init__(self, lab, sts):
        super().__init__(lab)
        self.heard = []
        self.sts, self.user = sts, lab.environment("user")
        self.answer = self.judge

    def judge(self, heard):
        self.heard.append(heard)
        key_id = self.key_of(heard)
        secret, token, _ = self.sts.secrets[key_id]
        assert heard.fields["Authorization"] == signed(self.url + "/", heard.fields, heard.body, secret)
        assert heard.fields.get("X-Amz-Security-Token") == token
        return self.ask(self.user, heard.operation, heard.members)

    @staticmethod
    def key_of(heard):
        return heard.fields["Authorization"].partition("Credential=")[2].partition("/")[0]


class House:
    """A lab whose KMS takes sessions, with an application in its folder."""

    def __init__(self, lab, repository):
        self.lab, self.sts = lab, Sts()
        self.kms = Counter(lab, self.sts)
        self.user = lab.environment("user")
        self.arn = f"arn:aws:iam::{ACCOUNT}:user/person"
        self.sts.know(self.user["AWS_ACCESS_KEY_ID"], self.user["AWS_SECRET_ACCESS_KEY"], self.arn)
        self.key = lab.make_key()
        lab.ok("user", "up", *lab.backend(), seconds=laboratory.UP_SECONDS)
        lab.enclaves.append("default")
        # The enclave knows its KMS by name; the proxy says where that is.
        done = self.command("proxy", "-s", "kms", env={"AWS_ENDPOINT_URL_KMS": self.kms.url})
        assert done.returncode == 0, done.stderr
        self.folder = lab.sync("shared")
        lab.publish(repository / "tests/victims", self.folder, "probe", self.key)

    def environment(self, env=None, drop=()):
        return {name: value for name, value in (self.user | (env or {})).items() if name not in drop}

    def command(self, *words, env=None):
        return subprocess.run([self.lab.cloister, *map(str, words)], cwd=self.lab.root / "user", env=self.environment(env),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)

    def run(self, *options, env=None, sts=True):
        """What `run` said, what STS was asked, whose requests KMS heard."""
        self.sts.asked, self.kms.heard = [], []
        place = {"AWS_ENDPOINT_URL_STS": self.sts.url} if sts else {}
        done = self.command("run", *options, "--", "probe.cloister", "exit.py", "exit", "0", env=place | (env or {}))
        return done, self.sts.asked, [self.kms.key_of(heard) for heard in self.kms.heard]

    def session(self, arn):
        """Variables of somebody whose credentials are a session of this ARN."""
        made = key("session")
        self.sts.know(made["AccessKeyId"], made["SecretAccessKey"], arn, made["Token"])
        return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"], "AWS_SESSION_TOKEN": made["Token"]}


@pytest.fixture(scope="module")
def house(lab, repository):
    made = House(lab, repository)
    yield made
    made.kms.close()
    made.sts.close()


@pytest.fixture(autouse=True)
def forgiving(request):
    """STS refuses nothing and trusts everybody when a test begins."""
    if "house" in request.fixturenames:
        house = request.getfixturevalue("house")
        house.sts.refuse, house.sts.trusts = {}, {}


def is_decrypt_only(house, parameters):
    assert parameters["DurationSeconds"] == "900"
    assert json.loads(parameters["Policy"]) == {
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": house.key}]}


def is_silent(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["cloister: probe 1 ran successfully"], done.stderr


def warns(done, why):
    assert done.returncode == 0, done.stderr
    warning, end = done.stderr.splitlines()
    assert warning.startswith("cloister: the enclave gets your credentials as they are") and why in warning, warning
    assert "--sts-role" in warning and end == "cloister: probe 1 ran successfully"


@pytest.mark.parametrize("options", [(), ("--credentials", "scoped")])
def test_a_users_keys_stay_at_home(house, options):
    done, asked, keys = house.run(*options)
    is_silent(done)
    [(operation, caller, parameters)] = asked
    assert (operation, caller, parameters["Name"]) == ("GetFederationToken", house.arn, "cloister")
    is_decrypt_only(house, parameters)
    [used] = keys
    assert used != house.user["AWS_ACCESS_KEY_ID"] and house.sts.secrets[used][2].endswith(":federated-user/cloister")


def test_a_role_that_trusts_itself(house):
    role = f"arn:aws:iam::{ACCOUNT}:role/host"
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/host/i-1"
    person = house.session(arn)
    house.sts.trusts = {role: {arn: None}}
    done, asked, keys = house.run(env=person)
    is_silent(done)
    assert [operation for operation, *_ in asked] == ["GetCallerIdentity", "AssumeRole"]
    assert asked[1][2]["RoleArn"] == role
    is_decrypt_only(house, asked[1][2])
    assert keys != [person["AWS_ACCESS_KEY_ID"]]
    house.sts.trusts = {role: {}}
    done, _, keys = house.run(env=person)
    warns(done, "AccessDenied")
    assert keys == [person["AWS_ACCESS_KEY_ID"]]


def test_a_profiles_role_is_assumed_for_this_key(house):
    home = house.lab.root / "user"
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws/config").write_text(f"[profile r]\nrole_arn = {ROLE}\ncredential_source = Environment\nexternal_id = x\n")
    config = home / ".aws/config"
    config.write_text(f"[profile r]\nrole_arn = {ROLE}\nsource_profile = p\nexternal_id = x\n[profile p]\n"
                      f"aws_access_key_id = {house.user['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {house.user['AWS_SECRET_ACCESS_KEY']}\n")
    house.sts.trusts = {ROLE: {house.arn: "x"}}
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "r"}
    done, asked, keys = house.run("--credentials", "scoped", env=none)
    is_silent(done)
    [(operation, _, parameters)] = asked
    assert (operation, parameters["RoleArn"], parameters["ExternalId"]) == ("AssumeRole", ROLE, "x")
    is_decrypt_only(house, parameters)
    assert house.sts.secrets[keys[0]][2].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/decrypter/cloister-")


def test_a_role_that_is_named(house):
    done, asked, _ = house.run("--sts-role", ROLE)
    is_silent(done)
    [(operation, _, parameters)] = asked
    assert (operation, parameters["RoleArn"]) == ("AssumeRole", ROLE)
    is_decrypt_only(house, parameters)


REFUSALS = [("AccessDenied", 403), ("ExpiredToken", 403), ("PackedPolicyTooLarge", 400)]


@pytest.mark.parametrize("code,status", REFUSALS)
def test_without_a_session_the_run_goes_on_unless_it_must_not(house, code, status):
    house.sts.refuse = {"GetFederationToken": (status, code, "not so")}
    done, _, keys = house.run()
    warns(done, f"STS GetFederationToken: {code}: not so")
    assert keys == [house.user["AWS_ACCESS_KEY_ID"]]
    done, _, keys = house.run("--credentials", "scoped")
    assert done.returncode == 125 and not keys
    assert f"cloister: no session for this key alone: STS GetFederationToken: {code}: not so" in done.stderr, done.stderr
    assert "hint: " in done.stderr


def test_as_they_are(house):
    done, asked, keys = house.run("--credentials", "as-is")
    is_silent(done)
    assert not asked and keys == [house.user["AWS_ACCESS_KEY_ID"]]
    done, _, keys = house.run(sts=False)  # the embedded KMS has no STS
    is_silent(done)
    assert keys == [house.user["AWS_ACCESS_KEY_ID"]]
    done, _, keys = house.run("--credentials", "scoped", sts=False)
    assert done.returncode == 125 and "there is no STS" in done.stderr and not keys
    for words in (("--credentials", "perhaps"), ("--credentials", "as-is", "--sts-role", ROLE)):
        assert house.run(*words)[0].returncode == 2


def test_a_folder_that_is_elsewhere(house):
    house.lab.ok("user", "unsync", "-d", "shared")
    try:
        done, asked, keys = house.run()
        warns(done, "the folder with the package is not mounted here")
        assert not asked and keys == [house.user["AWS_ACCESS_KEY_ID"]]
        assert house.run("--credentials", "scoped")[0].returncode == 125
    finally:
        house.lab.sync("shared")


# --- what is left of them -----------------------------------------------------------------------------------------


def holds(pid, needles):
    """Which of these byte strings stand in the readable memory of a process."""
    found = set()
    overlap = max(map(len, needles)) - 1
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, modes = line.split()[:2]
            if "r" not in modes or "[vv" in line:
                continue
            begin, end = (int(part, 16) for part in span.split("-"))
            tail = b""
            while begin < end:
                try:
                    piece = os.pread(memory.fileno(), min(end - begin, 1 << 20), begin)
                except OSError:
                    break  # nothing behind it
                if not piece:
                    break
                found |= {needle for needle in needles if needle in tail + piece}
                tail = (tail + piece)[-overlap:]
                begin += len(piece)
    return found


def role_of(lab, pid):
    user = user_of(pid)
    if user in range(laboratory.FIRST_JOB_USER, laboratory.FIRST_JOB_USER + laboratory.JOB_USERS):
        return "job"
    return {KEEPER: "keeper", LISTENER: "listener", 0: "monitor or launcher"}.get(user, "share server")


@pytest.mark.processes("it searches the memory of each")
def test_nothing_is_left_of_them(house):
    """While a job runs: of the session that KMS was asked with, and of the keys that it was made from."""
    lab = house.lab
    (house.folder / "output/started").unlink(missing_ok=True)
    house.kms.heard = []
    running = subprocess.Popen([lab.cloister, "run", "--", "probe.cloister", "slow.py"], cwd=lab.root / "user", stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=house.environment({"AWS_ENDPOINT_URL_STS": house.sts.url}))
    try:
        assert running.stdout.readline() == b"started\n"
        [heard] = house.kms.heard
        secret, token, _ = house.sts.secrets[house.kms.key_of(heard)]
        needles = {secret.encode(): "the session's secret", token[:40].encode(): "a piece of its token",
                   house.user["AWS_SECRET_ACCESS_KEY"].encode(): "the user's secret"}
        own = holds(os.getpid(), needles)
        assert own == set(needles), "the search itself finds nothing"
        record = json.loads((lab.root / "run/default/enclave.json").read_text())
        inside = [record["pid"], *processes_below(record["pid"])]
        outside = [json.loads(path.read_text())["pid"] for path in (lab.root / "run/default").rglob("*.json")
                   if path.name == "proxy.json" or path.parent.name == "mounts"]
        found = {(role_of(lab, pid), needles[each]) for pid in inside for each in holds(pid, needles)}
        assert {role_of(lab, pid) for pid in inside} == {"keeper", "listener", "job", "share server", "monitor or launcher"}
        assert not found
        session = [needle for needle, what in needles.items() if what != "the user's secret"]
        assert len(outside) == 2 and not [pid for pid in outside if holds(pid, needles)]
        check_what_is_shown(inside, outside, running.pid, needles, session)
        check_files(lab, house.folder, needles)
    finally:
        laboratory.interrupt(running)
        running.communicate(timeout=SECONDS)


def check_what_is_shown(inside, outside, caller, needles, session):
    """Arguments and environments, in /proc."""
    def text(pid, name):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()

    for pid in [*inside, *outside, caller]:
        assert not [what for needle, what in needles.items() if needle in text(pid, "cmdline")]
        assert not [needle for needle in session if needle in text(pid, "environ")]
    for pid in [*inside, *outside]:
        assert not [what for needle, what in needles.items() if needle in text(pid, "environ")]
    for pid in outside:
        assert b"PATH=" in text(pid, "environ")  # it is fusermount3's: not all is gone


def check_files(lab, folder, needles):
    looked = 0
    for top in (lab.root / "run", lab.root / "state", folder, lab.root / "user/cloister"):
        for directory, _, names in os.walk(top):
            for name in names:
                path = os.path.join(directory, name)
                if not os.path.isfile(path) or os.path.islink(path):
                    continue
                with open(path, "rb") as file:
                    content = file.read()
                looked += 1
                assert not [what for needle, what in needles.items() if needle in content], path
    assert looked > 5
