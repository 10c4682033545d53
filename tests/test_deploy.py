"""deploy/aws, deployed: to moto's server on loopback, two accounts, stacks in order. What landed is then used and attacked. Judges: of the owner's
key `cloister key show` and the embedded KMS, by attested Decrypts; of S3 and of roles the evaluator of tests/policies.py, since moto's own reads
no conditions. tests/moto_aws.py says what moto lacks; CodeBuild and EC2 run nothing."""

import json
import struct
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

forge = pytest.importorskip("forge", reason="SKIP: needs python3-cbor2, python3-cryptography and python3-zstandard")
pytest.importorskip("boto3", reason="SKIP: needs python3-boto3")
pytest.importorskip("yaml", reason="SKIP: needs python3-yaml")
if find_spec("moto") is None or find_spec("flask") is None:
    pytest.skip("SKIP: needs moto[server], of tests/requirements.txt", allow_module_level=True)

from botocore.exceptions import ClientError  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402

import cloud as clouds  # noqa: E402
from cloud import HOST, OWNER, REGION, STACKS  # noqa: E402
from codebuild import Project, stand_ins  # noqa: E402
from deployed import Deployed, Referee, first_boot, opened  # noqa: E402
from policies import permitted  # noqa: E402

SECONDS = 60
IMAGE = "kms:RecipientAttestation:ImageSha384"


def refused(call, *codes, **words):
    with pytest.raises(ClientError) as caught:
        call(**words)
    assert caught.value.response["Error"]["Code"] in (codes or ("AccessDenied", "403")), caught.value
    return caught.value


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    made = clouds.Cloud(tmp_path_factory.mktemp("cloud"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def signer():
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def deployed(cloud, binaries, signer):
    return Deployed(cloud, binaries, signer)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What the owner's repository holds: an application, two recipes, and a file that says of itself that it is a kernel."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "app").mkdir()
    (folder / "app/main.py").write_text("print('secret sauce')\n")
    for name, word in (("enclave", "one"), ("next", "two")):
        (folder / f"{name}.yaml").write_text(f"name: supervisor\nversion: 1\nbase: none\nmode: production\nenvironment: {{WHICH: {word}}}\n")
    head = bytearray(4096)
    head[0x202:0x206], head[0x20E:0x210] = b"HdrS", struct.pack("<H", 0x300)
    head[0x500:0x514] = b"6.12.1-test (x@y) #1"
    (folder / "kernel").write_bytes(head)
    return folder


@pytest.fixture(scope="module")
def projects(deployed, cloud, tmp_path_factory):
    made = {name: Project(cloud, OWNER, name, tmp_path_factory.mktemp(name)) for name in ("application-encryptor", "nitro-image-builder")}
    for project in made.values():
        code, said = project.phase("install", project.folder)
        assert code == 0, said
        assert "apt-get install -y -qq --no-install-recommends awscli" in project.installed.read_text()
        assert (project.folder / "prefix").stat().st_mode & 0o777 == 0o755
    return made


# --- the shared bucket ----------------------------------------------------------------------------------------


def uploads(deployed, changes=None):
    right = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": deployed.bucket["ThirdPartyBucketKMSCMKArn"]}
    return {name: value for name, value in (right | (changes or {})).items() if value}


def test_the_bucket_takes_what_is_encrypted_over_tls(cloud, deployed, projects):
    """By anybody: a build of the owner's, and the host's own administrator."""
    for credentials in (projects["application-encryptor"].credentials, HOST):
        s3 = cloud.client("s3", credentials)
        put = {"Bucket": deployed.name, "Key": "encrypted/trial", "Body": b"x"}
        s3.put_object(**put, **uploads(deployed))
        for wrong in ({"ServerSideEncryption": None, "SSEKMSKeyId": None}, {"ServerSideEncryption": "AES256"},
                      {"ServerSideEncryption": None}, {"SSEKMSKeyId": None}, {"SSEKMSKeyId": f"arn:aws:kms:{REGION}:{OWNER}:key/another"}):
            refused(s3.put_object, **put, **uploads(deployed, wrong))
        refused(cloud.client("s3", credentials, cloud.plain).put_object, **put, **uploads(deployed))
    host = cloud.client("s3", HOST)
    assert host.get_bucket_versioning(Bucket=deployed.name)["Status"] == "Enabled"
    assert host.get_bucket_encryption(Bucket=deployed.name)["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"][
        "KMSMasterKeyID"] == deployed.bucket["ThirdPartyBucketKMSCMKArn"]
    refused(cloud.client("s3", HOST, cloud.plain).get_object, Bucket=deployed.name, Key="encrypted/trial")
    host.delete_object(Bucket=deployed.name, Key="encrypted/trial")


def test_the_owner_may_only_write(cloud, deployed):
    """Whatever IAM of their account says: its administrator."""
    host, owner = cloud.client("s3", HOST), cloud.client("s3", OWNER)
    host.put_object(Bucket=deployed.name, Key="enclave/theirs", Body=b"x", **uploads(deployed))
    refused(owner.get_object, Bucket=deployed.name, Key="enclave/theirs")
    refused(owner.list_objects_v2, Bucket=deployed.name)
    refused(owner.delete_object, Bucket=deployed.name, Key="enclave/theirs")
    owner.put_object(Bucket=deployed.name, Key="enclave/ours", Body=b"x", **uploads(deployed))
    stranger = cloud.client("s3", cloud.session("444455556666"))
    refused(stranger.put_object, Bucket=deployed.name, Key="enclave/ours", Body=b"x", **uploads(deployed))


def test_revoking_is_removing_one_statement(cloud, deployed):
    given = {"ThirdPartyName": "acme", "ThirdPartyAWSAccountNumber": OWNER}
    host, owner = cloud.client("s3", HOST), cloud.client("s3", OWNER)
    before = [one["Sid"] for one in json.loads(host.get_bucket_policy(Bucket=deployed.name)["Policy"])["Statement"]]
    put = {"Bucket": deployed.name, "Key": "encrypted/late", "Body": b"x", **uploads(deployed)}
    cloud.update(HOST, "sharing-bucket", ThirdPartyAccess="revoked", **given)
    after = [one["Sid"] for one in json.loads(host.get_bucket_policy(Bucket=deployed.name)["Policy"])["Statement"]]
    assert [sid for sid in before if sid not in after] == ["EnableThirdPartyAccess"]
    refused(owner.put_object, **put)
    key = cloud.policy_of_key(deployed.bucket["ThirdPartyBucketKMSCMKArn"], HOST)
    assert [one["Sid"] for one in key["Statement"]] == ["EnableIAMUserPermissions"]
    cloud.update(HOST, "sharing-bucket", ThirdPartyAccess="enabled", **given)
    owner.put_object(**put)


# --- encrypting -----------------------------------------------------------------------------------------------


def test_the_encryptors_steps_put_a_signed_package_into_the_bucket(cloud, deployed, projects, source, signer, binaries, tmp_path):
    project = projects["application-encryptor"]
    cloud.judged()
    said = project.build(source, APPLICATION_RELEASE="2")
    judged = cloud.judged()
    assert all(one["good"] for one in judged) and {"ssm:GetParameter", "kms:GenerateDataKey", "kms:GetKeyPolicy", "s3:PutObject"} <= {
        one["action"] for one in judged}
    assert forge.fingerprint(signer) in said and "PRIVATE KEY" not in said
    package = cloud.client("s3", HOST).get_object(Bucket=deployed.name, Key="encrypted/fruit.cloister")
    assert package["ServerSideEncryption"] == "aws:kms" and package["SSEKMSKeyId"] == deployed.bucket["ThirdPartyBucketKMSCMKArn"]
    content = package["Body"].read()
    (tmp_path / "fruit.cloister").write_bytes(content)
    for words in (["signer", "add", "acme", forge.fingerprint(signer)], ["inspect", tmp_path / "fruit.cloister", "--json"]):
        told = subprocess.run([binaries["cloister"], *words], env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=SECONDS)
    header = json.loads(told.stdout)
    assert (header["key"], header["name"], header["release"], header["signer_known"]) == (deployed.key, "fruit", "2", True)
    assert b"secret sauce" not in content
    # Nobody opens it: not the role that made it, not the account's administrator. Only past the key's policy does it open.
    wrapped = forge.cbor2.loads(content[12:])["wrapped"][0]
    for who in (project.credentials, OWNER):
        refused(cloud.client("kms", who).decrypt, "AccessDeniedException", CiphertextBlob=wrapped, KeyId=deployed.key)


def test_what_was_uploaded_opens_with_the_right_data_key(cloud, deployed):
    content = cloud.client("s3", HOST).get_object(Bucket=deployed.name, Key="encrypted/fruit.cloister")["Body"].read()
    header = forge.cbor2.loads(content[12:])
    kms, policy = cloud.client("kms", OWNER), cloud.policy_of_key(deployed.key)
    kms.put_key_policy(KeyId=deployed.key, PolicyName="default", Policy=json.dumps(policy | {"Statement": policy["Statement"][:1]}))
    try:
        key = kms.decrypt(KeyId=deployed.key, CiphertextBlob=header["wrapped"][0], EncryptionContext=header["context"])["Plaintext"]
    finally:
        kms.put_key_policy(KeyId=deployed.key, PolicyName="default", Policy=json.dumps(policy))
    assert b"secret sauce" in opened(content, key) and header["release"] == "2"


def in_memory():
    """Where builds of this machine have their signing key."""
    return set(Path("/dev/shm").glob("signing.*"))


def test_the_signing_key_leaves_nothing_behind(deployed, projects, source, cloud):
    """Not in the variables of the build, not on a disk; without it nothing is encrypted, and no new key is made in its place."""
    project, before = projects["application-encryptor"], in_memory()
    assert not any("PRIVATE" in value for value in project.variables.values())
    project.build(source)
    assert in_memory() <= before
    assert not any("PRIVATE KEY" in path.read_text(errors="replace") for path in (project.folder / "home").rglob("*") if path.is_file())
    code, said = project.phase("build", source, SIGNING_KEY_ARN=f"arn:aws:ssm:{REGION}:{OWNER}:parameter/somebody-elses")
    assert code != 0 and "AccessDenied" in said and "wrote" not in said and "made a signing key" not in said
    assert in_memory() <= before


def test_the_signing_key_may_be_a_secret_and_the_source_elsewhere(cloud, deployed, tmp_path, source, signer):
    names = {"ProjectName": "second-encryptor", "EnclaveKeyExportName": "SecondKey", "EncryptionKeyAlias": "alias/second", "SigningKeyArn": deployed.secret}
    parameters = {**deployed.encrypting, **names, "CodeCommitRepositoryName": "", "SourceBucketName": "zips", "SourceObjectKey": "app.zip"}
    cloud.create_as(OWNER, "second", "application-encryptor", **parameters)
    project = Project(cloud, OWNER, "second-encryptor", tmp_path)
    assert (project.landed["source"]["type"], project.landed["source"]["location"]) == ("S3", "zips/app.zip")
    assert "s3:GetObjectVersion" in json.dumps(cloud.policies_of_role(OWNER, project.role))
    assert project.phase("install", tmp_path)[0] == 0
    assert forge.fingerprint(signer) in project.build(source)
    cloud.delete(OWNER, "second")
    connection = f"arn:aws:codeconnections:{REGION}:{OWNER}:connection/1"
    parameters |= {"SourceBucketName": "", "SourceConnectionArn": connection, "SourceRepositoryUrl": "https://git.test/app.git"}
    cloud.create_as(OWNER, "third", "application-encryptor", **parameters)
    landed = cloud.client("codebuild", OWNER).batch_get_projects(names=["second-encryptor"])["projects"][0]["source"]
    assert landed["type"] == "GITHUB" and landed["auth"] == {"type": "CODECONNECTIONS", "resource": connection}
    cloud.delete(OWNER, "third")


def test_a_package_of_programs_that_was_changed_is_not_run(cloud, deployed, projects, tmp_path):
    code, said = projects["application-encryptor"].phase("install", tmp_path, CLOISTER_PACKAGE_SHA256="0" * 64, CLOISTER_PREFIX=str(tmp_path))
    assert code != 0 and "did NOT match" in said and not list(tmp_path.iterdir())


def test_a_key_that_is_open_stops_the_encryptor(cloud, deployed, projects, source):
    kms, policy = cloud.client("kms", OWNER), cloud.policy_of_key(deployed.key)
    kms.put_key_policy(KeyId=deployed.key, PolicyName="default", Policy=json.dumps(policy | {"Statement": policy["Statement"][:1]}))
    code, said = projects["application-encryptor"].phase("build", source)
    kms.put_key_policy(KeyId=deployed.key, PolicyName="default", Policy=json.dumps(policy))
    assert code != 0 and "WARNING no-deny" in said and "wrote" not in said


# --- who may decrypt ------------------------------------------------------------------------------------------


def test_at_first_nobody_decrypts(deployed, binaries):
    said = deployed.shown(binaries)
    assert said["can_decrypt"] == [] and {one["severity"] for one in said["findings"]} == {"note"}


def test_the_builders_steps_allow_exactly_the_image_they_upload(cloud, deployed, projects, source, binaries, tmp_path):
    project = projects["nitro-image-builder"]
    cloud.judged()
    project.build(source)
    judged = cloud.judged()
    assert all(one["good"] for one in judged) and {"kms:PutKeyPolicy", "s3:PutObject"} <= {one["action"] for one in judged}
    host = cloud.client("s3", cloud.session(HOST, "cloister-enclave-host"))
    for name in ("nitro-enclave-image.eif", "nitro-enclave-image.json"):
        (tmp_path / name).write_bytes(host.get_object(Bucket=deployed.name, Key=f"enclave/{name}")["Body"].read())
    measured = subprocess.run([binaries["cloister"], "image", "measure", tmp_path / "nitro-enclave-image.eif"], capture_output=True, text=True,
                              check=True, timeout=SECONDS, env={"HOME": str(tmp_path)})
    pcr0 = json.loads((tmp_path / "nitro-enclave-image.json").read_text())["Measurements"]["PCR0"]
    assert json.loads(measured.stdout)["Measurements"]["PCR0"] == pcr0
    said = deployed.shown(binaries)
    (image,) = said["can_decrypt"]
    assert (image["PCR0"], image["releases"]) == (pcr0, ["1", "2"]) and deployed.host["EnclaveHostRoleArn"] in image["principals"]
    assert {one["severity"] for one in said["findings"]} == {"note"}
    deployed.first, deployed.first_measured = pcr0, tmp_path / "nitro-enclave-image.json"


@pytest.fixture(scope="module")
def referee(cloud, deployed, tmp_path_factory):
    identity = next(one for one in cloud.policies_of_role(HOST, "cloister-enclave-host") if deployed.key in json.dumps(one))
    made = Referee(tmp_path_factory.mktemp("referee"), deployed.key, identity)
    yield made
    made.service.end()


def test_the_embedded_kms_obeys_the_policy_that_landed(cloud, deployed, referee):
    """Before an image is allowed nobody decrypts; then the host's role, in that image, what it may open, and nobody else."""
    template = clouds.load("application-encryptor")["Resources"]["EnclaveKMSCMK"]["Properties"]["KeyPolicy"]
    closed = json.loads(json.dumps(template).replace('{"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}', f'"arn:aws:iam::{OWNER}:root"'))
    for who in (referee.host, referee.owner):
        assert not referee.decrypts(closed, who) and not referee.decrypts(closed, who, deployed.first)
    landed = cloud.policy_of_key(deployed.key)
    assert [one["Sid"] for one in landed["Statement"]][:2] == [one["Sid"] for one in closed["Statement"]]
    assert referee.decrypts(landed, referee.host, deployed.first)
    for pcr0, release in ((None, "1"), ("d" * 96, "1"), ("0" * 96, "1"), (deployed.first, "3")):
        assert not referee.decrypts(landed, referee.host, pcr0, release), (pcr0, release)
    assert not referee.decrypts(landed, referee.owner) and not referee.moves(landed) and not referee.moves(closed)
    # The attacks work where the Deny is not.
    open_key = landed | {"Statement": [one for one in landed["Statement"] if one["Effect"] == "Allow"]}
    assert referee.moves(open_key) and referee.decrypts(open_key, referee.owner)


def test_stack_updates_leave_allowed_images_alone(cloud, deployed):
    before = cloud.policy_of_key(deployed.key)
    cloud.update(OWNER, "application-encryptor", **deployed.encrypting, ApplicationRelease="9", KeyDeletionWindowDays=7)
    assert cloud.policy_of_key(deployed.key) == before and deployed.first in json.dumps(before)


def allowed_images(deployed, binaries):
    return {one["PCR0"] for one in deployed.shown(binaries)["can_decrypt"]}


def test_another_image_joins_and_earlier_ones_go_on_request(deployed, projects, source, binaries):
    project, account = projects["nitro-image-builder"], f"arn:aws:iam::{HOST}:root"
    project.build(source, HOST_PRINCIPAL_ARN=account, ALLOWED_RELEASES="any", RECIPE="next.yaml")
    deployed.cloister(binaries, "key", "allow", "-k", deployed.key, "--image", deployed.first_measured, "--release", "3")
    both = deployed.shown(binaries)
    assert len(both["can_decrypt"]) == 2 and deployed.first in {one["PCR0"] for one in both["can_decrypt"]}
    allows = [one["Principal"]["AWS"] for one in both["policy"]["Statement"] if one["Sid"].startswith("CloisterAllow")]
    assert allows == [[deployed.host["EnclaveHostRoleArn"]], [account]], "another account is somebody in particular"
    assert {one["severity"] for one in both["findings"]} == {"note"}
    code, said = project.phase("build", source, RECIPE="missing.yaml", REVOKE_EARLIER_IMAGES="yes")
    assert code != 0 and "missing.yaml" in said and len(allowed_images(deployed, binaries)) == 2
    project.build(source, RECIPE="next.yaml", REVOKE_EARLIER_IMAGES="yes")
    left = allowed_images(deployed, binaries)
    assert len(left) == 1 and deployed.first not in left


def test_builds_may_do_no_more_than_they_do(cloud, deployed, projects):
    """As the builds' roles: what a program that got hold of their credentials would try."""
    encryptor, builder = (projects[name].credentials for name in ("application-encryptor", "nitro-image-builder"))
    for s3 in (cloud.client("s3", encryptor), cloud.client("s3", builder)):
        refused(s3.get_object, Bucket=deployed.name, Key="encrypted/fruit.cloister")
        refused(s3.put_object, Bucket=deployed.name, Key="elsewhere/x", Body=b"x", **uploads(deployed))
        refused(s3.get_object, Bucket=f"cloister-programs-{OWNER}", Key="another")
    for kms in (cloud.client("kms", encryptor), cloud.client("kms", builder)):
        refused(kms.schedule_key_deletion, "AccessDeniedException", KeyId=deployed.key)
        refused(kms.create_grant, "AccessDeniedException", KeyId=deployed.key, GranteePrincipal=OWNER, Operations=["Decrypt"])
    refused(cloud.client("kms", encryptor).put_key_policy, "AccessDeniedException", KeyId=deployed.key, PolicyName="default", Policy="{}")
    refused(cloud.client("ssm", builder).get_parameter, "AccessDeniedException", Name=f"arn:aws:ssm:{REGION}:{OWNER}:parameter/cloister/signing-key")
    # A bucket of that name that is somebody else's gets nothing.
    (rights,) = cloud.policies_of_role(OWNER, projects["application-encryptor"].role)
    put = {"principal": f"arn:aws:iam::{OWNER}:role/x", "action": "s3:PutObject", "resource": f"arn:aws:s3:::{deployed.name}/encrypted/x"}
    for account, good in ((HOST, True), ("444455556666", False)):
        assert permitted(put | {"keys": {"aws:ResourceAccount": account}}, [rights], None, same_account=True) == good


def test_builds_have_no_right_that_they_do_not_use(cloud, deployed, projects):
    """Beside those that S3 asks for on their behalf, an upload that is broken off, the log, the source, and where else a signing key may be."""
    elsewhere = {deployed.bucket["ThirdPartyBucketKMSCMKArn"]}
    for name in ("application-encryptor", "nitro-image-builder"):
        unused = cloud.unused_rights(OWNER, projects[name].role)
        left = {action for action, resource in unused if resource not in elsewhere and not action.startswith(("logs:", "codecommit:"))}
        assert left == {"s3:AbortMultipartUpload"} | ({"secretsmanager:GetSecretValue"} if name == "application-encryptor" else set())


# --- the host -------------------------------------------------------------------------------------------------


def test_the_hosts_role_has_sessions_of_its_own_and_nobody_elses(cloud, deployed):
    role = cloud.client("iam", HOST).get_role(RoleName="cloister-enclave-host")["Role"]
    arn, trust = role["Arn"], role["AssumeRolePolicyDocument"]
    rights = cloud.policies_of_role(HOST, "cloister-enclave-host")
    for who, good in ((arn, True), (f"arn:aws:iam::{HOST}:role/another", False), (f"arn:aws:iam::{OWNER}:role/cloister-enclave-host", False)):
        asked = {"principal": who, "action": "sts:AssumeRole", "resource": arn, "keys": {"aws:PrincipalArn": who}}
        assert permitted(asked, rights, {"Statement": [one | {"Resource": "*"} for one in trust["Statement"]]}, same_account=False) == good, who
    decrypt = {"principal": arn, "action": "kms:Decrypt", "resource": deployed.key}
    assert permitted(decrypt | {"keys": {IMAGE: "ab" * 48}}, rights, None, same_account=True)
    assert not permitted(decrypt, rights, None, same_account=True)
    assert not permitted(decrypt | {"keys": {IMAGE: "ab" * 48}, "resource": deployed.key + "0"}, rights, None, same_account=True)


def test_the_hosts_first_boot(cloud, deployed, tmp_path, binaries):
    """Run as the instance's role, with dnf, systemctl and cloister as stand-ins."""
    script = first_boot(cloud, deployed.host)
    place, log = stand_ins(tmp_path, "dnf", "systemctl")
    (tmp_path / "prefix").mkdir(mode=0o755)
    env = {"PATH": f"{place}:/usr/bin:/bin", "HOME": str(tmp_path), **cloud.environment(cloud.session(HOST, "cloister-enclave-host")),
           "CLOISTER_PREFIX": str(tmp_path / "prefix"), "CLOISTER_ETC": str(tmp_path / "etc"), "STAND_IN_LOG": str(log)}
    done = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0 and "cloister: this host is ready" in done.stdout, done.stderr
    assert log.read_text().splitlines() == [
        "dnf install -y -q aws-nitro-enclaves-cli awscli-2 fuse3 libarchive",
        "cloister host prepare --memory 4096 --cpus 2 --user ec2-user --yes",
        "systemctl daemon-reload",
        "systemctl enable --now nitro-enclaves-allocator.service cloister-proxy@default.service"]
    known = deployed.cloister(binaries, "host", "prepare", "--help")
    assert all(word in known for word in log.read_text().splitlines()[1].split() if word.startswith("--"))
    assert (tmp_path / "prefix").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/proxy-default.conf").read_text() == f"AWS_REGION={REGION}\n"
    # The way to KMS is to the key's region, whatever the host's.
    far = cloud.create_as(HOST, "far", "enclave-host", **deployed.hosting | {"HostRoleName": "far", "EnclaveKeyArn": deployed.key.replace(REGION, "us-west-2")})
    assert "key_region='us-west-2'" in first_boot(cloud, far) and f"AWS_DEFAULT_REGION='{REGION}'" in first_boot(cloud, far)
    cloud.delete(HOST, "far")
    # Programs that are not those that were named are not installed.
    changed = script.replace(deployed.programs[HOST]["CloisterPackageSha256"], "0" * 64)
    log.write_text("")
    done = subprocess.run(["bash", "-c", changed], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode != 0 and "this host is NOT ready" in done.stderr and "cloister" not in log.read_text().replace("cli", "")


# --- taking it all down ---------------------------------------------------------------------------------------


def empty(cloud, bucket, folder):
    """All versions, and the marks of deleted ones, by the command of deploy/aws/README.md."""
    lines = (clouds.TEMPLATES / "README.md").read_text().partition("    aws s3api delete-objects")[2].partition("\n\n")[0]
    place, _ = stand_ins(folder)
    env = {"PATH": f"{place}:/usr/bin:/bin", "HOME": str(folder), "BUCKET": bucket, **cloud.environment(cloud.credentials[HOST])}
    subprocess.run(["bash", "-c", "aws s3api delete-objects" + lines], env=env, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)


def test_deleting_in_order(cloud, deployed, tmp_path):
    """The order matters to AWS, which refuses to delete an export in use; moto would not."""
    stacks, s3 = {account: cloud.client("cloudformation", account) for account in (OWNER, HOST)}, cloud.client("s3", HOST)
    cloud.delete(OWNER, "image-builder")
    cloud.delete(HOST, "enclave-host")
    cloud.delete(OWNER, "application-encryptor")
    refused(cloud.client("kms", OWNER).describe_key, "NotFoundException", KeyId=deployed.key)  # AWS waits for KeyDeletionWindowDays
    s3.delete_object(Bucket=deployed.name, Key="encrypted/fruit.cloister")  # leaves its versions
    cloud.delete(HOST, "sharing-bucket")
    cloud.outputs(HOST, "sharing-bucket", "DELETE_FAILED")
    empty(cloud, deployed.name, tmp_path)
    cloud.delete(HOST, "sharing-bucket")
    assert not {one["StackName"] for account in stacks for one in stacks[account].describe_stacks()["Stacks"]} & set(STACKS)
    assert not [one for one in s3.list_buckets()["Buckets"] if "code-bucket" in one["Name"]]
