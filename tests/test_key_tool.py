"""`cloister key`: what it writes into a policy holds in KMS, against the owner's own rights too."""

import datetime
import json
import subprocess

import pytest

import lab as laboratory

forge = pytest.importorskip("forge", reason="SKIP: needs python3-cbor2, python3-cryptography and python3-zstandard")
pytest.importorskip("boto3", reason="SKIP: needs python3-boto3")

from botocore.exceptions import ClientError  # noqa: E402

from fake_kms import Middle, Reply, refusal  # noqa: E402
from forge import compress, tar  # noqa: E402
from trial import APP, check_it_runs, check_refused  # noqa: E402

ALLOW = ("--principal", laboratory.HOST_ROLE)


@pytest.fixture(scope="module")
def owner(lab):
    return lab.kms_client("owner")


@pytest.fixture
def key(lab):
    return lab.ok("owner", "key", "create").strip()


def policy_of(owner, key):
    return json.loads(owner.get_key_policy(KeyId=key, PolicyName="default")["Policy"])


def allow(lab, key, *more):
    return lab.ok("owner", "key", "allow", "-k", key, "--image", lab.measure(), *ALLOW, *more)


def test_what_is_encrypted_cannot_be_moved_below_another_key(lab, owner, key):
    """Re-encryption asks for no attestation. With a policy that denies Decrypt alone, whoever may do everything else has the data key."""
    own = owner.create_key()["KeyMetadata"]["Arn"]
    wrapped = owner.generate_data_key(KeyId=key, KeySpec="AES_256")
    naive = policy_of(owner, key)
    for statement in naive["Statement"]:
        if statement["Effect"] == "Deny":
            statement["Action"] = "kms:Decrypt"
    owner.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(naive))
    moved = owner.re_encrypt(CiphertextBlob=wrapped["CiphertextBlob"], DestinationKeyId=own)["CiphertextBlob"]
    assert owner.decrypt(CiphertextBlob=moved)["Plaintext"] == wrapped["Plaintext"]
    assert "WARNING" in lab.ok("owner", "key", "show", "-k", key)
    allow(lab, key)
    for attempt in (lambda: owner.re_encrypt(CiphertextBlob=wrapped["CiphertextBlob"], DestinationKeyId=own),
                    lambda: owner.decrypt(CiphertextBlob=wrapped["CiphertextBlob"])):
        with pytest.raises(ClientError) as refused:
            attempt()
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException" and "explicit deny" in str(refused.value)
    assert "WARNING" not in lab.ok("owner", "key", "show", "-k", key)


@pytest.fixture(scope="module")
def enclave(lab):
    lab.up()
    lab.folder = lab.sync("shared")


def test_releases_join_and_leave_without_a_gap(lab, owner, key, enclave):
    packages = forge.Forger(owner, key)
    lab.ok("user", "signer", "add", "owner", forge.fingerprint(packages.signer))
    first, second = (packages.package(compress(tar(APP)), release=name, key=packages.data_key(packages.context(release=name))) for name in "12")
    allow(lab, key, "--release", "1")
    check_it_runs(lab, first)
    check_refused(lab, second, "AccessDeniedException")
    allow(lab, key, "--release", "2")
    check_it_runs(lab, first)
    check_it_runs(lab, second)
    lab.ok("owner", "key", "revoke", "-k", key, "--release", "1")
    check_refused(lab, first, "AccessDeniedException")
    check_it_runs(lab, second)
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    allow(lab, key, "--until", yesterday.strftime("%Y-%m-%d"))
    check_refused(lab, second, "AccessDeniedException")
    shown = lab.ok("owner", "key", "show", "-k", key)
    assert "releases: 2\n" in shown and f"until: {yesterday:%Y-%m-%d}T00:00:00Z" in shown
    allow(lab, key, "--replace")
    check_it_runs(lab, first)
    lab.ok("owner", "key", "revoke", "-k", key, "--all")
    check_refused(lab, first, "AccessDeniedException")


def test_the_last_release_takes_its_image_along(lab, owner, key):
    allow(lab, key, "--release", "1")
    lab.ok("owner", "key", "revoke", "-k", key, "--release", "1")
    assert "no image may decrypt" in lab.ok("owner", "key", "show", "-k", key)
    done = lab.run("owner", "key", "revoke", "-k", key, "--release", "1")
    assert done.returncode == 1 and "does not list release 1" in done.stderr
    allow(lab, key)
    done = lab.run("owner", "key", "revoke", "-k", key, "--release", "1")
    assert done.returncode == 1 and "may open every release" in done.stderr and "hint: list those" in done.stderr


def test_nobodys_change_is_overwritten(lab, owner, key):
    """Between the tool's reading and its writing somebody else writes."""
    middle = Middle(lab)
    read = []

    def answer(heard):
        if heard.operation == "GetKeyPolicy":
            read.append(heard)
            if len(read) == 2:
                policy = policy_of(owner, key)
                policy["Statement"][0]["Sid"] = "somebody else was here"
                owner.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
        return middle.relay(heard)

    middle.answer = answer
    env = lab.environment("owner") | {"AWS_ENDPOINT_URL_KMS": middle.url}
    done = subprocess.run([lab.cloister, "key", "allow", "-k", key, "--image", lab.measure()], env=env, cwd=lab.root / "owner", text=True,
                          capture_output=True, timeout=50)
    middle.close()
    assert done.returncode == 1 and "changed by somebody else meanwhile" in done.stderr and "hint: " in done.stderr
    policy = policy_of(owner, key)
    assert policy["Statement"][0]["Sid"] == "somebody else was here" and len(policy["Statement"]) == 2


def test_a_change_right_after_its_own_is_noticed(lab, owner, key):
    middle = Middle(lab)
    read = []

    def answer(heard):
        reply = middle.relay(heard)
        if heard.operation == "GetKeyPolicy":
            read.append(heard)
            if len(read) >= 3:  # and again, should the tool have to ask again
                policy = json.loads(json.loads(reply.body)["Policy"])
                policy["Statement"] = [one for one in policy["Statement"] if not one["Sid"].startswith("CloisterAllow")]
                return Reply(200, json.dumps({"Policy": json.dumps(policy), "PolicyName": "default"}).encode())
        return reply

    middle.answer = answer
    env = lab.environment("owner") | {"AWS_ENDPOINT_URL_KMS": middle.url}
    done = subprocess.run([lab.cloister, "key", "allow", "-k", key, "--image", lab.measure()], env=env, cwd=lab.root / "owner", text=True,
                          capture_output=True, timeout=50)
    middle.close()
    assert done.returncode == 1 and "changed by somebody else meanwhile" in done.stderr


def test_iam_policies_suffice_and_reach_no_further(lab, owner, key):
    policies = json.loads(lab.ok("owner", "key", "policy", "-k", key, "--iam"))
    path = lab.root / "owner/encrypting.json"
    path.write_text(json.dumps(policies["owner"]))
    env_file = lab.root / "owner/encrypting.env"
    lab.ok("owner", "kms", "principal", "--dir", lab.kms, "--user", "encrypting", "--iam-policy", path, "-o", env_file)
    application = lab.root / "owner/small"
    application.mkdir()
    (application / "a.py").write_text("")
    for target, code in ((key, 0), (lab.ok("owner", "key", "create").strip(), 1)):
        env = lab.environment("owner") | laboratory.read_env(env_file)
        done = subprocess.run([lab.cloister, "encrypt", "-d", "small", "-k", target, "--name", "small", "-o", "small.cloister"], env=env, text=True,
                              cwd=lab.root / "owner", capture_output=True, timeout=50)
        assert done.returncode == code and ("AccessDeniedException" in done.stderr) == bool(code), done.stderr
    assert [one["Action"] for one in policies["host"]["Statement"]] == ["kms:Decrypt"]
    assert {one["Resource"] for which in policies.values() for one in which["Statement"]} == {key}


@pytest.mark.processes("theirs are the simulated measurements")
def test_keys_of_aws_are_not_opened_to_simulated_enclaves(lab, key):
    env = {name: value for name, value in lab.environment("owner").items() if name != "AWS_ENDPOINT_URL_KMS"}
    for verb in ("allow", "policy"):
        done = subprocess.run([lab.cloister, "key", verb, "-k", key, "--image", lab.measure()], env=env, cwd=lab.root / "owner", text=True,
                              capture_output=True, timeout=50)
        assert done.returncode == 1 and "is the measurement of a simulated enclave: an AWS key must not be opened to it" in done.stderr


def shown(lab, key, kms=None):
    """What `key show` says, as JSON, and whether `--check` would stop a pipeline."""
    env = lab.environment("owner") | ({"AWS_ENDPOINT_URL_KMS": kms.url} if kms else {})
    done = subprocess.run([lab.cloister, "key", "show", "-k", key, "--json", "--check"], env=env, cwd=lab.root / "owner", text=True,
                          capture_output=True, timeout=50)
    said = json.loads(done.stdout)
    found = {(one["severity"], one["code"], one["statement"]) for one in said["findings"]}
    assert done.returncode == any(severity == "warning" for severity, *_ in found), done.stderr
    return said, found


def test_a_policy_by_hand_is_judged(lab, owner, key):
    """Two statements that pin the image, and a third that somebody added "for debugging": the host decrypts without an enclave, and is told of."""
    image = json.loads(lab.measure().read_text())["Measurements"]["PCR0"]
    attested = {"StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": image}}
    by_hand = [{"Sid": "Owner", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
               {"Sid": "Host", "Effect": "Allow", "Principal": {"AWS": laboratory.HOST_ROLE}, "Action": "kms:Decrypt", "Resource": "*",
                "Condition": attested},
               {"Sid": "Debugging", "Effect": "Allow", "Principal": {"AWS": laboratory.HOST_ROLE}, "Action": "kms:Decrypt", "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "true"}}}]
    owner.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({"Version": "2012-10-17", "Statement": by_hand}))
    wrapped = owner.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert lab.kms_client("user").decrypt(CiphertextBlob=wrapped["CiphertextBlob"])["Plaintext"] == wrapped["Plaintext"]
    said, found = shown(lab, key)
    assert {("warning", "decrypt-without-attestation", "Debugging"), ("warning", "decrypt-without-attestation", "Owner"), ("warning", "no-deny", ""),
            ("warning", "re-encrypt-from", "Owner"), ("note", "put-key-policy", "Owner")} <= found
    assert not any(statement == "Host" for _, _, statement in found)
    assert [one["Sid"] for one in said["policy"]["Statement"]] == ["Owner", "Host", "Debugging"]
    assert any(one.get("PCR0") == image and one["principals"] == [laboratory.HOST_ROLE] for one in said["can_decrypt"])
    words = lab.ok("owner", "key", "show", "-k", key)
    assert "  WITHOUT ATTESTATION\n" in words and "WARNING decrypt-without-attestation [Debugging]: " in words and laboratory.HOST_ROLE in words

    allow(lab, key)  # the Deny that it writes holds against the rest
    with pytest.raises(ClientError):
        lab.kms_client("user").decrypt(CiphertextBlob=wrapped["CiphertextBlob"])
    said, found = shown(lab, key)
    assert {severity for severity, *_ in found} == {"note"} and all(one["document"] == "image" for one in said["can_decrypt"])


def test_grants_and_replicas_are_told(lab, key):
    """What the embedded KMS does not have, from one that does: two pages of grants, and regions with policies of their own."""
    allow(lab, key)
    pages = [{"Grants": [{"GrantId": "g-1", "GranteePrincipal": "arn:aws:iam::999988887777:user/friend", "Operations": ["Decrypt"]}],
              "Truncated": True, "NextMarker": "more"},
             {"Grants": [{"GrantId": "g-2", "GranteePrincipal": laboratory.HOST_ROLE, "Operations": ["Encrypt"]}], "Truncated": False}]
    drop_the_deny, refuse = [], []
    middle = Middle(lab)

    def answer(heard):
        if heard.operation == "ListGrants":
            if refuse:
                return refusal(400, "AccessDeniedException", "no")
            return Reply(200, json.dumps(pages["Marker" in heard.members]).encode())
        reply = middle.relay(heard)
        members = json.loads(reply.body)
        if heard.operation == "DescribeKey":
            members["KeyMetadata"] |= {"MultiRegion": True, "MultiRegionConfiguration": {
                "MultiRegionKeyType": "PRIMARY", "PrimaryKey": {"Arn": key, "Region": "us-east-1"},
                "ReplicaKeys": [{"Arn": key.replace("us-east-1", "eu-west-1"), "Region": "eu-west-1"}]}}
        if heard.operation == "GetKeyPolicy" and drop_the_deny:
            policy = json.loads(members["Policy"])
            policy["Statement"] = [one for one in policy["Statement"] if one["Effect"] == "Allow" and one["Sid"].startswith("Cloister")]
            members["Policy"] = json.dumps(policy)
        return Reply(reply.status, json.dumps(members).encode())

    middle.answer = answer
    bound, found = shown(lab, key, middle)
    assert {one for one in found if one[0] == "warning"} == {("warning", "replica", "")} and ("note", "grant", "grant g-1") in found
    assert "eu-west-1" in next(one["text"] for one in bound["findings"] if one["code"] == "replica")
    drop_the_deny.append(True)
    _, found = shown(lab, key, middle)
    assert ("warning", "grant", "grant g-1") in found and not any("g-2" in statement for _, _, statement in found)
    refuse.append(True)
    said, found = shown(lab, key, middle)
    assert ("warning", "grants-unknown", "") in found and any("kms:ListGrants" in one["advice"] for one in said["findings"])
    middle.close()


def test_mistakes(lab, key):
    for words, reason in ((["revoke", "-k", key], "give --image FILE, --release R, both, or --all"),
                          (["revoke", "-k", key, "--all", "--release", "1"], "give --image FILE"),
                          (["allow", "-k", key, "--image", lab.measure(), "--until", "tomorrow"], "--until: 'tomorrow' is not a time"),
                          (["show", "-k", "alias/none"], "NotFoundException")):
        done = lab.run("owner", "key", *words)
        assert done.returncode == 1 and reason in done.stderr, done.stderr
