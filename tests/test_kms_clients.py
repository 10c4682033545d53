"""Every operation of the embedded KMS once, through each published client: boto3, and the AWS CLI of both versions, unmodified but for
the endpoint. The programs take a second per call, so they run side by side, and each test waits for its own; and of the programs only one
manages keys, unless CLOISTER_WHOLE_TOUR is set: then all of them do everything that they know."""

import concurrent.futures
import json
import os
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kms_service import ACCOUNT, CLIENTS, HOST_ROLE, REGION, WHY_NOT, Refused, Service, find_program

pytestmark = [pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)), pytest.mark.timeout(150 if "CLOISTER_WHOLE_TOUR" not in os.environ else 600)]

PCRS = ["a" * 96, "b" * 96, "c" * 96]
WHOLE = "CLOISTER_WHOLE_TOUR" in os.environ
TOURED = tuple(CLIENTS) if WHOLE else ("boto3", "aws-1", "aws-2")  # that of the backports shows only what that of bookworm cannot


def default_policy(*statements):
    root = {"Sid": "root", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [root, *statements]})


def refused(code, kms, operation, **members):
    with pytest.raises(Refused) as caught:
        kms(operation, **members)
    assert caught.value.code == code, caught.value
    return caught.value.message


def tour_of_keys(kms, name):
    policy = default_policy({"Effect": "Allow", "Principal": {"AWS": HOST_ROLE}, "Action": "kms:Decrypt", "Resource": "*"})
    made = kms("CreateKey", Description="made", Policy=policy, Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "b", "TagValue": "ü"}])
    key = made["KeyMetadata"]["KeyId"]
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"
    assert made["KeyMetadata"]["Arn"] == arn and made["KeyMetadata"]["KeyState"] == "Enabled"
    kms("UpdateKeyDescription", KeyId=key, Description=f"for {name}")
    kms("CreateAlias", AliasName=f"alias/{name}", TargetKeyId=key)
    described = kms("DescribeKey", KeyId=f"alias/{name}")["KeyMetadata"]
    assert described["Arn"] == arn and described["Description"] == f"for {name}"
    assert key in {entry["KeyId"] for entry in kms("ListKeys", Limit=1000)["Keys"]}
    kms("TagResource", KeyId=key, Tags=[{"TagKey": "b", "TagValue": "2"}, {"TagKey": "c", "TagValue": ""}])
    kms("UntagResource", KeyId=key, TagKeys=["a"])
    assert kms("ListResourceTags", KeyId=key)["Tags"] == [{"TagKey": "b", "TagValue": "2"}, {"TagKey": "c", "TagValue": ""}]
    assert json.loads(kms("GetKeyPolicy", KeyId=key, PolicyName="default")["Policy"]) == json.loads(policy)
    kms("PutKeyPolicy", KeyId=key, PolicyName="default", Policy=default_policy())
    assert kms("ListKeyPolicies", KeyId=key)["PolicyNames"] == ["default"]
    return arn


def tour_of_ciphertexts(kms, name, arn):
    context = {"application": "ocr", "release": "1"}
    blob = kms("Encrypt", KeyId=f"alias/{name}", Plaintext=b"\x00secret\xff", EncryptionContext=context)["CiphertextBlob"]
    opened = kms("Decrypt", CiphertextBlob=blob, EncryptionContext=context)
    assert opened["Plaintext"] == b"\x00secret\xff" and opened["KeyId"] == arn
    other = kms("CreateKey")["KeyMetadata"]["Arn"]
    moved = kms("ReEncrypt", CiphertextBlob=blob, SourceKeyId=arn, SourceEncryptionContext=context, DestinationKeyId=other,
                DestinationEncryptionContext={"release": "2"})
    assert (moved["SourceKeyId"], moved["KeyId"]) == (arn, other)
    assert kms("Decrypt", CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"release": "2"}, KeyId=other)["Plaintext"] == b"\x00secret\xff"
    assert refused("InvalidCiphertextException", kms, "Decrypt", CiphertextBlob=blob) == ""
    assert len(kms("GenerateDataKey", KeyId=arn, KeySpec="AES_256")["Plaintext"]) == 32
    assert "Plaintext" not in kms("GenerateDataKeyWithoutPlaintext", KeyId=arn, KeySpec="AES_128")
    assert len(kms("GenerateRandom", NumberOfBytes=17)["Plaintext"]) == 17
    kms("UpdateAlias", AliasName=f"alias/{name}", TargetKeyId=other)
    listed = kms("ListAliases", KeyId=other)["Aliases"]
    assert [(entry["AliasName"], entry["TargetKeyId"]) for entry in listed] == [(f"alias/{name}", other.rpartition("/")[2])]
    kms("DeleteAlias", AliasName=f"alias/{name}")


def tour_of_lifecycle(kms, arn):
    kms("EnableKeyRotation", KeyId=arn)
    assert kms("GetKeyRotationStatus", KeyId=arn)["KeyRotationEnabled"] is True
    kms("DisableKeyRotation", KeyId=arn)
    kms("DisableKey", KeyId=arn)
    assert f"{arn} is disabled." == refused("DisabledException", kms, "Encrypt", KeyId=arn, Plaintext=b"x")
    kms("EnableKey", KeyId=arn)
    assert kms("ScheduleKeyDeletion", KeyId=arn, PendingWindowInDays=7)["KeyId"] == arn
    assert f"{arn} is pending deletion." == refused("KMSInvalidStateException", kms, "Encrypt", KeyId=arn, Plaintext=b"x")
    assert kms("CancelKeyDeletion", KeyId=arn)["KeyId"] == arn
    message = refused("UnsupportedOperationException", kms, "CreateGrant", KeyId=arn, GranteePrincipal=HOST_ROLE, Operations=["Decrypt"])
    assert message == "CreateGrant is not supported by this service"


def tour_of_rotations(kms, arn):
    """Operations that clients of 2022 do not know."""
    kms("EnableKey", KeyId=arn)
    assert kms("RotateKeyOnDemand", KeyId=arn)["KeyId"] == arn
    kms("EnableKeyRotation", KeyId=arn, RotationPeriodInDays=90)
    assert kms("GetKeyRotationStatus", KeyId=arn)["RotationPeriodInDays"] == 90
    assert [entry["RotationType"] for entry in kms("ListKeyRotations", KeyId=arn)["Rotations"]] == ["ON_DEMAND"]


def tour(service, name, folder):
    kms = CLIENTS[name](service, "owner", folder)
    # One of the two slow clients is enough to show that programs of their kind manage keys.
    whole = WHOLE or name != "aws-1"
    arn = tour_of_keys(kms if whole else CLIENTS["boto3"](service, "owner", folder), name)
    tour_of_ciphertexts(kms, name, arn)
    if whole:
        tour_of_lifecycle(kms, arn)
    if CLIENTS[name].why_not(recent=True) is None:
        tour_of_rotations(kms, arn)


class Enclave:
    """An RSA key, and documents for it that the development root vouches for."""

    def __init__(self, folder, root):
        self.folder, self.root = folder, root
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (folder / "key.pem").write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (folder / "key.der").write_bytes(self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def recipient(self, pcr0=PCRS[0], age=0, root=None):
        made = subprocess.run([find_program("attest"), str(root or self.root), str(self.folder / "key.der"), pcr0, *PCRS[1:], str(age)],
                              capture_output=True, timeout=20, check=True)
        return {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": made.stdout}

    def open(self, envelope):
        """With OpenSSL's own reader of CMS."""
        opened = subprocess.run(["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", str(self.folder / "key.pem")],
                                input=envelope, capture_output=True, timeout=20)
        assert opened.returncode == 0, opened.stderr.decode()
        return opened.stdout


def tour_of_recipients(service, name, folder, enclave):
    owner, host = CLIENTS[name](service, "owner", folder), CLIENTS["boto3"](service, "user", folder)
    image = {"StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": PCRS[0], "kms:RecipientAttestation:PCR2": PCRS[2]}}
    policy = default_policy({"Effect": "Allow", "Principal": {"AWS": HOST_ROLE}, "Action": "kms:Decrypt", "Resource": "*", "Condition": image})
    key = CLIENTS["boto3"](service, "owner", folder)("CreateKey", Policy=policy)["KeyMetadata"]["Arn"]
    recipient = enclave.recipient()
    made = owner("GenerateDataKey", KeyId=key, NumberOfBytes=48, EncryptionContext={"a": "1"}, Recipient=recipient)
    assert "Plaintext" not in made
    data_key = enclave.open(made["CiphertextForRecipient"])
    assert len(data_key) == 48
    kms = CLIENTS[name](service, "user", folder)
    answer = kms("Decrypt", CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "1"}, Recipient=recipient)
    assert "Plaintext" not in answer and answer["KeyId"] == key
    assert enclave.open(answer["CiphertextForRecipient"]) == data_key
    random = owner("GenerateRandom", NumberOfBytes=24, Recipient=recipient)
    assert "Plaintext" not in random and len(enclave.open(random["CiphertextForRecipient"])) == 24
    refusals = [("AccessDeniedException", {}), ("AccessDeniedException", {"Recipient": enclave.recipient(pcr0="d" * 96)}),
                ("AccessDeniedException", {"Recipient": enclave.recipient(pcr0="0" * 96)}),
                ("ValidationException", {"Recipient": enclave.recipient(age=400)}),
                ("ValidationException", {"Recipient": enclave.recipient(root=folder / "another root")})]
    for code, members in refusals:
        refused(code, host, "Decrypt", CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "1"}, **members)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kms clients")
    service = Service(folder / "data", "--development-root", str(folder / "root" / "root.pem"))
    service.start()
    yield service
    assert service.end() == 0


@pytest.fixture(scope="module")
def tours(service, tmp_path_factory):
    """What each client does, under way: name → future."""
    enclave = Enclave(tmp_path_factory.mktemp("enclave"), service.directory.parent / "root")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        started = {}
        for name in TOURED:
            if CLIENTS[name].why_not() is None:
                started[name] = pool.submit(tour, service, name, tmp_path_factory.mktemp(name))
        for name in CLIENTS:
            if CLIENTS[name].why_not(recent=True) is None:
                started[name, "recipient"] = pool.submit(tour_of_recipients, service, name, tmp_path_factory.mktemp(name), enclave)
        yield started


@pytest.mark.parametrize("name", TOURED)
def test_every_operation(tours, name):
    if name not in tours:
        pytest.skip(CLIENTS[name].why_not())
    tours[name].result()


@pytest.mark.parametrize("name", CLIENTS)
def test_recipients(tours, name):
    if (name, "recipient") not in tours:
        pytest.skip(CLIENTS[name].why_not(recent=True))
    tours[name, "recipient"].result()
