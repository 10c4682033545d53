"""The blocks of RUNBOOK.md for AWS: what administrator and owner type works in a stand-in for AWS (moto), in order and to the end; and all that
any block names (verbs, options, parameters, outputs) is there. What needs an instance or a build is not run: moto has neither."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import lab as laboratory
import runbook

OWNER, HOST = "111122223333", "444455556666"  # the accounts of the page
REGION = "eu-central-1"
HELP_SECONDS, STEP_SECONDS = 20, 60
PEOPLE = {"administrator": HOST, "owner": OWNER}
PAGE = laboratory.ROOT / "RUNBOOK.md"
STEPS = [step for step in runbook.steps(PAGE.read_text()) if step.variant in ("aws", "both")]
TYPED = [step for step in runbook.steps(PAGE.read_text())]
GLOBAL_OPTIONS = {"--query", "--output", "--region"}
PAGING = {"--max-items", "--page-size", "--starting-token"}
OF_THE_CLI_ALONE = {  # what is not an operation of an API
    ("cloudformation", "deploy"): {"--stack-name", "--template-file", "--parameter-overrides", "--capabilities"},
    ("s3", "cp"): set(), ("s3", "mb"): set(), ("s3", "rb"): {"--force"},
}
GIVEN_BY_THE_CLI = {"run-instances": {"--min-count", "--max-count"}}
OPERATORS = re.compile(r"^[();<>|&\n]+$")
WORDS_BEFORE = {"while", "do", "if", "then", "!", "sudo", "{", "local", "export"}


# --- what a block says ----------------------------------------------------------------------------------------


def commands_in(text):
    """Every simple command as its words, those in $(…) too."""
    text = re.sub(r"<<'(\w+)'\n.*?\n\1\n", "\n", text.replace("\\\n", " "), flags=re.DOTALL)
    text = re.sub(r"(^|\s)#[^\n]*", r"\1", text).replace("\n", " ;; ")
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    found, words = [], []
    for token in (*lexer, ";"):
        for inner in re.findall(r"\$\(([^()]*)\)", token):
            found += commands_in(inner)
        if not OPERATORS.match(token):
            words.append(token)
            continue
        while words and (words[0] in WORDS_BEFORE or re.match(r"^\w+=", words[0])):
            words.pop(0)
        if words:
            found.append(words)
        words = []
    return found


def commands_of(program, steps):
    return [(step, words) for step in steps for words in commands_in(step.commands) if words[0] == program]


def options_of(words):
    return [word.partition("=")[0] for word in words if re.match(r"^--?[a-z][\w-]*(=|$)", word)]


def test_commands_are_found():
    text = "x=$(aws a b --c \"$(output s K)\") && cloister up --image \"$F\" > out  # aws none\nsudo cloister down | aws d e\nf() {\n  aws g h\n}\n"
    found = commands_in(text)
    assert ["aws", "d", "e"] in found and ["output", "s", "K"] in found and ["aws", "g", "h"] in found and ["cloister", "down"] in found
    assert ["cloister", "up", "--image", "$F"] in found and not any("none" in words for words in found)
    assert len(commands_of("aws", STEPS)) > 40 and len(commands_of("cloister", TYPED)) > 20


@pytest.mark.parametrize("step", TYPED, ids=lambda step: f"line {step.line}")
def test_a_shell_understands_every_block(step):
    done = subprocess.run(["bash", "-n"], input=step.commands, capture_output=True, text=True, timeout=HELP_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")


def test_variables_have_values_before_they_are_used():
    known = {who: {"PWD", "1", "2", "found", "HOME"} for who in runbook.PEOPLE}
    for step in STEPS:
        for who in runbook.PEOPLE if step.who == "everyone" else [step.who]:
            for line in step.commands.splitlines():
                used = set(re.findall(r"\$\{?(\w+)", re.sub(r"'[^']*'", "", line)))
                known[who] |= set(re.findall(r"\b([A-Z_0-9]+|repository)=", line))
                assert used <= known[who], (step.line, line)


# --- verbs and options ----------------------------------------------------------------------------------------


def help_of(binaries, verb, seen={}):
    if verb not in seen:
        done = subprocess.run([binaries["cloister"], *verb, "--help"], capture_output=True, text=True, timeout=HELP_SECONDS)
        seen[verb] = done.stdout if done.returncode == 0 else None
    return seen[verb]


def answers():
    """The commands that docs/faq.md tells to type."""
    text = (laboratory.ROOT / "docs/faq.md").read_text()
    blocks = [runbook.Step(0, "faq", "user", line + "\n") for line in re.findall(r"^    (cloister .*)$", text, re.MULTILINE)]
    assert len(blocks) > 5
    return commands_of("cloister", blocks)


@pytest.mark.parametrize("step, words", commands_of("cloister", TYPED) + answers(), ids=lambda one: one.line if isinstance(one, runbook.Step) else " ".join(one[1:3]))
def test_cloister_has_the_verb_and_its_options(binaries, step, words):
    verb = ()
    for word in words[1:]:
        usage = help_of(binaries, verb)
        if word.startswith("-") or not re.search(rf"^  {re.escape(word)}\s", usage.partition("Subcommands:")[2], re.MULTILINE):
            break
        verb += (word,)
    assert verb, f"line {step.line}: {words}"  # 0: of the questions
    there = {name for names in re.findall(r"^ +(-\S+)", help_of(binaries, verb), re.MULTILINE) for name in names.split(",")}
    assert set(options_of(words)) <= there, f"line {step.line}"


def wrong_aws(words, session):
    """What of an AWS CLI command does not exist, or is missing; or None."""
    from botocore import xform_name
    service, operation = words[1:3]
    options = {word for word in options_of(words) if word.startswith("--")}
    if (service, operation) in OF_THE_CLI_ALONE:
        return options - OF_THE_CLI_ALONE[service, operation] - GLOBAL_OPTIONS or None
    service = {"s3api": "s3"}.get(service, service)
    loader = session.get_component("data_loader")
    if operation == "wait":
        waiters = {xform_name(name, "-"): one["operation"] for name, one in loader.load_service_model(service, "waiters-2")["waiters"].items()}
        if words[3] not in waiters:
            return words[3]
        operation = xform_name(waiters[words[3]], "-")
    model = session.get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in names:
        return operation
    shape = model.operation_model(names[operation]).input_shape
    paging = names[operation] in loader.load_service_model(service, "paginators-1")["pagination"]
    there = {"--" + xform_name(name, "-") for name in shape.members} | GLOBAL_OPTIONS | (PAGING if paging else set())
    needed = {"--" + xform_name(name, "-") for name in shape.required_members} - GIVEN_BY_THE_CLI.get(operation, set())
    return (options - there) | (needed - options) or None


@pytest.fixture(scope="module")
def session():
    return pytest.importorskip("botocore.session").get_session()


@pytest.mark.parametrize("step, words", commands_of("aws", STEPS), ids=lambda one: one.line if isinstance(one, runbook.Step) else " ".join(one[1:3]))
def test_aws_has_the_operation_and_its_options(session, step, words):
    assert wrong_aws(words, session) is None, f"line {step.line}"


@pytest.mark.parametrize("typed", ["aws s3 cp a b --recursive-ly", "aws s3api list-objekts --bucket b", "aws iam delete-role-policy --role-name r",
                                   "aws ec2 wait instance-gone --instance-ids i", "aws kms create-key --max-items 3", "aws ec2 run-instances --image i"])
def test_an_operation_that_aws_does_not_have_is_found(session, typed):
    assert wrong_aws(typed.split(), session)


# --- templates ------------------------------------------------------------------------------------------------


@dataclass
class Deployed:
    step: runbook.Step
    stack: str
    template: str
    values: dict
    capabilities: list


def deployments():
    """Of each `aws cloudformation deploy`."""
    found = []
    for step, words in commands_of("aws", STEPS):
        if words[1:3] != ["cloudformation", "deploy"]:
            continue
        at = words.index("--parameter-overrides")
        values = dict(word.split("=", 1) for word in words[at + 1:] if not word.startswith("--"))
        capabilities = [words[i + 1] for i, word in enumerate(words) if word == "--capabilities"]
        template = words[words.index("--template-file") + 1].removeprefix("$repository/")
        found.append(Deployed(step, words[words.index("--stack-name") + 1], template, values, capabilities))
    return found


@pytest.fixture(scope="module")
def cloud():
    return pytest.importorskip("cloud", reason="needs moto, boto3 and yaml")


def wrong_deployment(one, template, again):
    """What of a deployment the template does not take, or does not get."""
    there = template["Parameters"]
    missing = {name for name, parameter in there.items() if "Default" not in parameter} - set(one.values)
    wrong = (set(one.values) - set(there)) | (set() if again else missing)
    for name, value in one.values.items():
        rules = there.get(name, {})
        if "$" not in value and (value not in map(str, rules.get("AllowedValues", [value])) or not re.fullmatch(rules.get("AllowedPattern", ".*"), value)):
            wrong.add(f"{name}={value}")
    roles = [resource for resource in template["Resources"].values() if resource["Type"].startswith("AWS::IAM::")]
    named = any("RoleName" in role["Properties"] for role in roles)
    needed = ["CAPABILITY_NAMED_IAM"] if named else ["CAPABILITY_IAM"] if roles else []
    return wrong | ({str(one.capabilities)} if one.capabilities != needed else set())


def test_templates_take_what_they_are_given(cloud):
    seen = set()
    for one in deployments():
        template = cloud.load(Path(one.template).stem)
        assert (laboratory.ROOT / one.template).exists()
        assert wrong_deployment(one, template, one.stack in seen) == set(), f"line {one.step.line}"
        seen.add(one.stack)
    assert {Path(one.template).stem for one in deployments()} == set(cloud.STACKS)
    first = deployments()[0]
    template = cloud.load(Path(first.template).stem)
    for values in ({}, first.values | {"NoSuch": "1"}, first.values | {"ThirdPartyName": "Big Letters"}):
        assert wrong_deployment(Deployed(first.step, first.stack, first.template, values, []), template, False)


def test_outputs_are_those_of_stacks_that_the_same_person_made(cloud):
    made = {}
    for one in deployments():
        made.setdefault(one.stack, (one.step.who, set(cloud.load(Path(one.template).stem)["Outputs"])))
    asked = [(step, words[1:]) for step, words in commands_of("output", STEPS) if words[1:]]  # without words it is where it is defined
    assert len(asked) > 10
    for step, (stack, name) in asked:
        assert made[stack][0] == step.who and name in made[stack][1], f"line {step.line}: {stack} {name}"


def test_what_blocks_and_text_name_of_the_templates_is_in_them(cloud):
    texts = {one.template: (laboratory.ROOT / one.template).read_text() for one in deployments()}
    variables = [words[words.index("--environment-variables-override") + 1] for _, words in commands_of("aws", STEPS) if "--environment-variables-override" in words]
    assert variables
    for value in variables:
        assert f"Name: {value.partition(',')[0].removeprefix('name=')}," in texts["deploy/aws/application-encryptor.yaml"]
    assert "PolicyName: ThirdPartyKMSKeyAccessPolicy" in texts["deploy/aws/enclave-host.yaml"]
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)(?:=\w+)?`", PAGE.read_text()))
    assert "EnableThirdPartyAccess" in named
    assert {name for name in named if not any(name in text for text in texts.values())} == set()


# --- typed ----------------------------------------------------------------------------------------------------


class Account:
    """What has been made there."""

    def __init__(self, aws, number):
        self.number, self.client = number, lambda service: aws.client(service, aws.session(number))

    def stacks(self):
        return {stack["StackName"] for stack in self.client("cloudformation").describe_stacks()["Stacks"]}

    def buckets(self):
        return {bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]}


@pytest.fixture
def aws(cloud, tmp_path):
    pytest.importorskip("moto")
    made = cloud.Cloud(tmp_path)
    yield made
    made.close()


def put_two_versions(account, bucket):
    """As the owner's builds do; here by the administrator, who may too."""
    s3, kms = account.client("s3"), account.client("kms")
    key = kms.describe_key(KeyId="alias/orchard-bucket-key-alias")["KeyMetadata"]["Arn"]
    for body in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key="encrypted/classify.cloister", Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    s3.delete_object(Bucket=bucket, Key="encrypted/classify.cloister")


@pytest.mark.timeout(300)
def test_what_administrator_and_owner_type_works(aws, binaries, short_dir):
    shells = {}
    for who, number in PEOPLE.items():
        home = short_dir / who
        (home / "orchard").mkdir(parents=True)
        (home / "orchard/cloister.tar.gz").write_bytes(b"programs")
        pcr = "ab" * 48
        measured = {"Measurements": {"HashAlgorithm": "Sha384 { ... }", "PCR0": pcr, "PCR1": pcr, "PCR2": pcr}}
        (home / "orchard/nitro-enclave-image.json").write_text(json.dumps(measured))  # from the build's log
        path = f"{Path(sys.executable).parent}:{binaries['cloister'].parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8", "CLOISTER_HOME": str(home / "cloister")}
        shells[who] = runbook.Shell([], environment | aws.environment(aws.session(number)), laboratory.ROOT, home / "block")
    host, owner = Account(aws, HOST), Account(aws, OWNER)
    told, log = {}, []
    for step in STEPS:
        for who in PEOPLE if step.who == "everyone" else [step.who] if step.who in PEOPLE else []:
            if "sudo cloister host prepare" in step.commands:
                continue  # this is not that machine
            commands = step.commands
            for shown, real in told.items():
                commands = commands.replace(shown, real)
            if "delete-role-policy" in commands:
                put_two_versions(host, f"orchard-code-bucket-{HOST}-{REGION}")
            said, code, failed = shells[who].run(commands, STEP_SECONDS)
            log.append(f"{who}$ {commands}{said}")
            assert (code, failed) == (0, 0), "\n".join(log[-3:])
            learn(told, step, said)
            check_state(step, host, owner)
    for shell in shells.values():
        shell.close()
    assert (host.stacks(), owner.stacks(), host.buckets(), owner.buckets()) == (set(), set(), set(), set())


def learn(told, step, said):
    """What the owner and the administrator tell each other: ARNs of keys."""
    for arn in re.findall(r"arn:aws:kms:[\w-]+:(?:\d+):key/[0-9a-f-]{36}", said):
        shown = {"sharing-bucket.yaml": "BUCKET_KEY", "application-encryptor.yaml": "KEY"}
        for template, name in shown.items():
            if template in step.commands and "deploy" in step.commands:
                typed = re.search(rf"^{name}=(\S+)", PAGE.read_text(), re.MULTILINE)[1]
                told.setdefault(typed, arn)


def check_state(step, host, owner):
    """After the steps that take something away."""
    if "delete-role-policy" in step.commands:
        role = host.client("iam").list_role_policies(RoleName="cloister-enclave-host")["PolicyNames"]
        policy = json.loads(host.client("s3").get_bucket_policy(Bucket=f"orchard-code-bucket-{HOST}-{REGION}")["Policy"])
        assert role == ["EnclaveHost"] and "EnableThirdPartyAccess" not in {one["Sid"] for one in policy["Statement"] if one}
    if "key revoke" in step.commands:
        key = owner.client("kms").describe_key(KeyId="alias/enclavekey")["KeyMetadata"]["Arn"]
        policy = json.loads(owner.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        assert not [one for one in policy["Statement"] if one["Effect"] == "Allow" and "Condition" in one]
