"""The templates of deploy/aws as they are written: linted, least privilege, every word explained. tests/test_deploy.py deploys them."""

import gzip
import itertools
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="SKIP: needs python3-yaml")
pytest.importorskip("boto3", reason="SKIP: needs python3-boto3")

from cloud import STACKS, TEMPLATES, load, walk  # noqa: E402

REGION = re.compile(r"\b(us|eu|ap|sa|ca|me|af|il|mx|cn)(-gov|-iso[a-z]?)?-(north|south|east|west|central|northeast|southeast|northwest|southwest)-\d\b")
HOSTILE = "'; id; '$(id)`id`\"\n\\"  # of a parameter that reaches a shell
# The tables of the original (docs/Encryption.md, docs/Builder.md, RUNBOOK.md) and its templates: parameter → default, "" for none.
ORIGINALS = {
    "sharing-bucket": {"ThirdPartyName": None, "ThirdPartyAWSAccountNumber": None},
    "application-encryptor": {"EncryptionKeyAlias": "alias/enclavekey", "CodeCommitRepositoryName": "", "ApplicationCodeDirectoryName": None,
                              "ExternalBucketName": None, "ExternalBucketPath": "encrypted", "ExternalBucketEncryptionKeyArn": None,
                              "ExternalBucketAWSAccountNumber": None},
    "image-builder": {"CodeCommitRepositoryName": "", "ExternalBucketName": None, "ExternalBucketPath": "enclave",
                      "ExternalBucketEncryptionKeyArn": None, "ExternalBucketAWSAccountNumber": None},
}

# What an instance does for Session Manager (AWS Systems Manager's guide, "Create an IAM role with minimal permissions").
WITHOUT_ARN = {"ssm:UpdateInstanceInformation"} | {f"ssmmessages:{verb}{which}Channel" for verb in ("Create", "Open") for which in ("Control", "Data")}

each = pytest.mark.parametrize("name", STACKS)


def text_of(name):
    return (TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8")


def statements(template):
    """Every (path, statement) of every policy, those that stand in a condition's branch too."""
    for path, value in walk(template):
        if isinstance(value, dict) and "Effect" in value:
            yield path, value


# --- lint -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(find_spec("cfnlint") is None, reason="SKIP: needs cfn-lint, of tests/requirements.txt")
def test_cfn_lint_has_nothing_to_say():
    files = [TEMPLATES / f"{name}.yaml" for name in STACKS]
    done = subprocess.run([Path(sys.executable).parent / "cfn-lint", "--include-checks", "I", "--", *files], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr
    assert not any("cfn-lint" in text_of(name) for name in STACKS), "suppressed"


@each
def test_no_region_is_written_down(name):
    assert not REGION.search(text_of(name)) and "arn:aws:" not in text_of(name), "region and partition are pseudo parameters"
    assert REGION.search("x eu-central-1 y") and REGION.search("us-gov-west-1")


@each
def test_no_resource_is_everything(name):
    """A key's policy can say nothing but "*" for the key, and what has no ARN is named below; each such line says why. Nowhere else."""
    found = [(path, statement) for path, statement in statements(load(name)) if statement.get("Resource") == "*"]
    assert all("KeyPolicy" in path or set(statement["Action"]) == WITHOUT_ARN for path, statement in found)
    lines = [line for line in text_of(name).splitlines() if re.search(r"Resource: *[\"']?\*|- [\"']\*[\"']", line)]
    assert len(lines) == len(found) and all("#" in line for line in lines)


@each
def test_rights_are_named_one_by_one(name):
    for path, statement in statements(load(name)):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        own_account = statement.get("Sid") == "EnableIAMUserPermissions" and actions == ["kms:*"]
        if statement["Effect"] == "Allow" and not own_account:
            assert not any("*" in action for action in actions), (path, actions)
            if "Principal" in statement:
                assert statement["Principal"] != "*", path


@each
def test_every_word_is_explained(name):
    template = load(name)
    readme = (TEMPLATES / "README.md").read_text(encoding="utf-8")
    section = readme.partition(f"## {name}.yaml")[2].partition("\n## ")[0]
    for kind in ("Parameters", "Outputs"):
        for word, about in template[kind].items():
            assert len(about["Description"]) > 15, word
            assert f"`{word}`" in section, f"README.md does not say what {word} is"
    for word, about in template["Parameters"].items():
        default = about.get("Default")
        if default not in (None, ""):
            row = next(line for line in section.splitlines() if line.startswith(f"| `{word}`"))
            assert f"`{default}`" in row, row


@each
def test_the_commands_that_are_shown_fit(name):
    """Those of README.md give every parameter that is needed; wherever a command names one, there is one."""
    parameters = load(name)["Parameters"]
    needed = {word for word, about in parameters.items() if "Default" not in about}
    for page in (TEMPLATES / "README.md", TEMPLATES.parent.parent / "RUNBOOK.md"):
        if page.exists():
            text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
            commands = [line for line in text.splitlines() if f"/{name}.yaml" in line and "--parameter-overrides" in line]
            for line in commands:
                given = set(re.findall(r" ([A-Z][A-Za-z0-9]+)=", line.partition("--parameter-overrides")[2]))
                assert given <= set(parameters), (page.name, given - set(parameters))
                assert page.name != "README.md" or needed <= given, (page.name, needed - given)
            assert commands or page.name != "README.md"


@pytest.mark.parametrize("name", ORIGINALS)
def test_parameters_are_called_as_users_of_the_original_know_them(name):
    parameters = load(name)["Parameters"]
    assert {word: parameters[word].get("Default") for word in ORIGINALS[name]} == ORIGINALS[name]


# --- what they mean -------------------------------------------------------------------------------------------


def test_a_stack_update_cannot_undo_what_key_allow_wrote():
    """CloudFormation writes a key's policy when that of the template changes, and only then: it must not depend on a parameter."""
    key = load("application-encryptor")["Resources"]["EnclaveKMSCMK"]["Properties"]["KeyPolicy"]
    words = {word for _, value in walk(key) if isinstance(value, dict) and "Fn::Sub" in value for word in re.findall(r"\$\{(.+?)\}", value["Fn::Sub"])}
    assert words == {"AWS::Partition", "AWS::AccountId"}
    assert not any(isinstance(value, dict) and (set(value) & {"Ref", "Fn::If", "Fn::GetAtt", "Fn::ImportValue"}) for _, value in walk(key))
    policy = json.loads((TEMPLATES / "encryption-key.stack-policy.json").read_text())
    denied = [one["Resource"] for one in policy["Statement"] if one["Effect"] == "Deny"]
    assert denied == ["LogicalResourceId/EnclaveKMSCMK"]


def holds(condition, parameters):
    (function, words), = condition.items() if isinstance(condition, dict) else (("Literal", condition),)
    if function == "Ref":
        return parameters[words]
    values = [holds(word, parameters) for word in words] if isinstance(words, list) else words
    return {"Fn::Or": lambda: any(values), "Fn::And": lambda: all(values), "Fn::Not": lambda: not values[0],
            "Fn::Equals": lambda: values[0] == values[1], "Literal": lambda: words}[function]()


@pytest.mark.parametrize("name", ["application-encryptor", "image-builder"])
def test_exactly_one_source_is_taken(name):
    (rule,) = load(name)["Rules"]["OneSource"]["Assertions"]
    words = ("CodeCommitRepositoryName", "SourceBucketName", "SourceObjectKey", "SourceConnectionArn", "SourceRepositoryUrl")
    good = {("CodeCommitRepositoryName",), ("SourceBucketName", "SourceObjectKey"), ("SourceConnectionArn", "SourceRepositoryUrl")}
    for given in itertools.chain.from_iterable(itertools.combinations(words, n) for n in range(len(words) + 1)):
        first = {"CodeCommitRepositoryName", "SourceBucketName", "SourceConnectionArn"} & set(given)
        expected = len(first) == 1 and any(set(one) <= set(given) for one in good)
        assert holds(rule["Assert"], {word: "x" if word in given else "" for word in words}) == expected, given


@each
def test_nothing_hostile_reaches_a_shell(name):
    """Parameters stand in shell text only where their patterns keep quotes out; builds get theirs as variables, never as text."""
    template = load(name)
    for path, value in walk(template):
        if not isinstance(value, dict) or "Fn::Sub" not in value:
            continue
        if "UserData" in path:
            text, more = value["Fn::Sub"]
            assert set(more) == {"KeyRegion"}, "a part of EnclaveKeyArn, whose pattern is below"
            for word in {"EnclaveKeyArn", *re.findall(r"\$\{([A-Za-z]+)\}", text)} - set(more):
                about = template["Parameters"][word]
                assert about["Type"] == "Number" or not re.fullmatch(about["AllowedPattern"], HOSTILE), word
                assert about["Type"] == "Number" or not any(re.fullmatch(about["AllowedPattern"], f"a{letter}a") for letter in "'\"`$;\n\\"), word
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::CodeBuild::Project":
            assert isinstance(resource["Properties"]["Source"]["BuildSpec"], str), "a buildspec that is substituted into"


def test_every_instance_type_can_host_an_enclave():
    """moto brings what DescribeInstanceTypes answered."""
    moto = find_spec("moto")
    if moto is None:
        pytest.skip("SKIP: needs moto, of tests/requirements.txt")
    known = json.loads(gzip.decompress((Path(moto.origin).parent / "ec2/resources/instance_types.json.gz").read_bytes()))
    template = load("enclave-host")
    parameter = template["Parameters"]["InstanceType"]
    architectures = {name: about["Architecture"] for name, about in template["Mappings"]["InstanceTypes"].items()}
    assert set(parameter["AllowedValues"]) == set(architectures) and parameter["Default"] in architectures
    for name, architecture in architectures.items():
        assert known[name]["NitroEnclavesSupport"] == "supported" and known[name]["ProcessorInfo"]["SupportedArchitectures"] == [architecture], name
    assert set(architectures.values()) == {"arm64", "x86_64"}
    smallest = min(known[name]["MemoryInfo"]["SizeInMiB"] for name in architectures)
    assert template["Parameters"]["EnclaveMemoryMiB"]["Default"] < smallest
    assert known["t4g.xlarge"]["NitroEnclavesSupport"] == "unsupported"


def test_the_host_is_closed():
    resources = load("enclave-host")["Resources"]
    launch = resources["EnclaveHostLaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert launch["EnclaveOptions"] == {"Enabled": True}
    assert launch["MetadataOptions"]["HttpTokens"] == "required" and launch["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert all(one["Ebs"]["Encrypted"] is True for one in launch["BlockDeviceMappings"])
    group = resources["EnclaveHostSecurityGroup"]["Properties"]
    assert "SecurityGroupIngress" not in group and [(one["FromPort"], one["ToPort"]) for one in group["SecurityGroupEgress"]] == [(443, 443)]
    assert "KeyName" not in launch, "ssh"
