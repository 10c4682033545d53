"""What the embedded KMS says no to, and how: names, HTTP codes and messages as observed of AWS KMS, so that scripts written for one
work with the other."""

import json
import re
import time

import pytest

from kms_service import ACCOUNT, REGION, WHY_NOT, Service

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

ABSENT = "00000000-0000-4000-8000-000000000000"
ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}"
BLOB = "AAAA"  # base64 of what is no ciphertext


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("kms errors") / "data")
    service.start()
    yield service
    assert service.end() == 0


@pytest.fixture(scope="module")
def names(service):
    """What {…} in the tables stands for."""
    owner = service.client("owner")
    key, disabled, going = (owner.create_key()["KeyMetadata"]["Arn"] for _ in range(3))
    owner.disable_key(KeyId=disabled)
    owner.schedule_key_deletion(KeyId=going, PendingWindowInDays=7)
    owner.create_alias(AliasName="alias/taken", TargetKeyId=key)
    return {"key": key, "disabled": disabled, "going": going}


def filled(value, names):
    if isinstance(value, str):
        return re.sub(r"\{(key|disabled|going)\}", lambda found: names[found[1]], value)
    if isinstance(value, dict):
        return {name: filled(entry, names) for name, entry in value.items()}
    return value


def violated(name, constraint, value=None):
    quoted = "" if value is None else f" '{value}'"
    return f"1 validation error detected: Value{quoted} at '{name}' failed to satisfy constraint: {constraint}"


def at_least(number, what="length"):
    return f"Member must have {what} greater than or equal to {number}"


def at_most(number, what="length"):
    return f"Member must have {what} less than or equal to {number}"


ENUM = "Member must satisfy enum value set: "
TAGS = [{"TagKey": "a", "TagValue": "1"}]
VALIDATION, NOT_FOUND, UNSUPPORTED = "ValidationException", "NotFoundException", "UnsupportedOperationException"
STATE, DISABLED, USAGE = "KMSInvalidStateException", "DisabledException", "InvalidKeyUsageException"
INCORRECT = "The key ID in the request does not identify a CMK that can perform this operation."
PREFIX = 'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html'

# operation, members, error, message
TABLE = [
    # Members
    ("DescribeKey", {}, VALIDATION, violated("keyId", "Member must not be null")),
    ("DescribeKey", {"KeyId": ""}, VALIDATION, violated("keyId", at_least(1), "")),
    ("DescribeKey", {"KeyId": "k" * 2049}, VALIDATION, violated("keyId", at_most(2048), "k" * 2049)),
    ("DescribeKey", {"KeyId": 7}, "SerializationException", None),
    ("ListKeys", {"Limit": 0}, VALIDATION, violated("limit", at_least(1, "value"), 0)),
    ("ListKeys", {"Limit": 1001}, VALIDATION, violated("limit", at_most(1000, "value"), 1001)),
    ("ListKeys", {"Marker": "x"}, "InvalidMarkerException", None),
    ("ListAliases", {"Limit": 101}, VALIDATION, violated("limit", at_most(100, "value"), 101)),
    ("UpdateKeyDescription", {"KeyId": "{key}", "Description": "é" * 8193}, VALIDATION,
     violated("description", at_most(8192), "é" * 8193)),
    ("GenerateRandom", {}, VALIDATION, "NumberOfBytes is required."),
    ("GenerateRandom", {"NumberOfBytes": 0}, VALIDATION, violated("numberOfBytes", at_least(1, "value"), 0)),
    ("GenerateRandom", {"NumberOfBytes": 1025}, VALIDATION, violated("numberOfBytes", at_most(1024, "value"), 1025)),
    ("GenerateDataKey", {"KeyId": "{key}"}, VALIDATION, "Please specify either number of bytes or key spec."),
    ("GenerateDataKey", {"KeyId": "{key}", "KeySpec": "AES_512"}, VALIDATION, violated("keySpec", ENUM + "[AES_256, AES_128]", "AES_512")),
    # What may be secret is not quoted.
    ("Encrypt", {"KeyId": "{key}", "Plaintext": "QUFB" * 1366}, VALIDATION, violated("plaintext", at_most(4096))),
    ("Encrypt", {"KeyId": "{key}", "Plaintext": ""}, VALIDATION, violated("plaintext", at_least(1))),
    ("Decrypt", {}, VALIDATION, violated("ciphertextBlob", "Member must not be null")),
    ("ScheduleKeyDeletion", {"KeyId": "{key}", "PendingWindowInDays": 6}, VALIDATION, violated("pendingWindowInDays", at_least(7, "value"), 6)),
    ("ScheduleKeyDeletion", {"KeyId": "{key}", "PendingWindowInDays": 31}, VALIDATION, violated("pendingWindowInDays", at_most(30, "value"), 31)),
    ("EnableKeyRotation", {"KeyId": "{key}", "RotationPeriodInDays": 89}, VALIDATION, violated("rotationPeriodInDays", at_least(90, "value"), 89)),
    # Which key
    ("DescribeKey", {"KeyId": ABSENT}, NOT_FOUND, f"Key '{ARN}:key/{ABSENT}' does not exist"),
    ("DescribeKey", {"KeyId": f"{ARN}:key/{ABSENT}"}, NOT_FOUND, f"Key '{ARN}:key/{ABSENT}' does not exist"),
    ("DescribeKey", {"KeyId": "fake-key-id"}, NOT_FOUND, "Invalid keyId 'fake-key-id'"),
    ("DescribeKey", {"KeyId": "alias/none"}, NOT_FOUND, f"Alias {ARN}:alias/none is not found."),
    ("DescribeKey", {"KeyId": f"arn:aws:kms:us-west-1:{ACCOUNT}:key/{ABSENT}"}, NOT_FOUND, "Invalid arn us-west-1"),
    ("DescribeKey", {"KeyId": f"arn:aws:kms:{REGION}:999999999999:key/{ABSENT}"}, NOT_FOUND, None),
    ("DescribeKey", {"KeyId": "arn:aws:s3:::bucket"}, "InvalidArnException", None),
    ("DisableKey", {"KeyId": "alias/taken"}, NOT_FOUND, "Invalid keyId 'alias/taken'"),
    ("DisableKey", {"KeyId": f"{ARN}:alias/taken"}, "InvalidArnException", None),
    # Aliases
    ("CreateAlias", {"AliasName": "taken", "TargetKeyId": "{key}"}, VALIDATION, PREFIX),
    ("CreateAlias", {"AliasName": "alias/a b", "TargetKeyId": "{key}"}, VALIDATION,
     violated("aliasName", "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$", "alias/a b")),
    ("CreateAlias", {"AliasName": "alias/", "TargetKeyId": "{key}"}, "InvalidAliasNameException", None),
    ("CreateAlias", {"AliasName": "alias/aws/x", "TargetKeyId": "{key}"}, "NotAuthorizedException", None),
    ("CreateAlias", {"AliasName": "alias/x", "TargetKeyId": "alias/taken"}, VALIDATION, "Aliases must refer to keys. Not aliases"),
    ("CreateAlias", {"AliasName": "alias/taken", "TargetKeyId": "{key}"}, "AlreadyExistsException",
     f"An alias with the name {ARN}:alias/taken already exists"),
    ("UpdateAlias", {"AliasName": "alias/none", "TargetKeyId": "{key}"}, NOT_FOUND, f"Alias {ARN}:alias/none is not found."),
    ("DeleteAlias", {"AliasName": "alias/none"}, NOT_FOUND, f"Alias {ARN}:alias/none is not found."),
    # Tags
    ("CreateKey", {"Tags": TAGS * 2}, "TagException", "Duplicate tag keys"),
    ("CreateKey", {"Tags": [{"TagKey": str(i), "TagValue": ""} for i in range(51)]}, "TagException", "Too many tags"),
    ("TagResource", {"KeyId": "{key}", "Tags": [{"TagKey": "AWS:x", "TagValue": ""}]}, "TagException", "Tags beginning with aws: are reserved"),
    ("TagResource", {"KeyId": "{key}", "Tags": [*TAGS, {"TagKey": "b", "TagValue": "v" * 257}]}, VALIDATION,
     violated("tags.2.member.tagValue", at_most(256), "v" * 257)),
    ("TagResource", {"KeyId": "{key}"}, VALIDATION, violated("tags", "Member must not be null")),
    # States
    ("Encrypt", {"KeyId": "{disabled}", "Plaintext": "eA=="}, DISABLED, "{disabled} is disabled."),
    ("RotateKeyOnDemand", {"KeyId": "{disabled}"}, DISABLED, "{disabled} is disabled."),
    ("EnableKeyRotation", {"KeyId": "{disabled}"}, DISABLED, "{disabled} is disabled."),
    ("GenerateDataKey", {"KeyId": "{going}", "KeySpec": "AES_256"}, STATE, "{going} is pending deletion."),
    ("EnableKey", {"KeyId": "{going}"}, STATE, "{going} is pending deletion."),
    ("UpdateAlias", {"AliasName": "alias/taken", "TargetKeyId": "{going}"}, STATE, "{going} is pending deletion."),
    ("CancelKeyDeletion", {"KeyId": "{key}"}, STATE, "{key} is not pending deletion."),
    # Ciphertexts
    ("Decrypt", {"CiphertextBlob": BLOB}, "InvalidCiphertextException", ""),
    ("ReEncrypt", {"CiphertextBlob": BLOB, "DestinationKeyId": "{key}"}, "InvalidCiphertextException", ""),
    ("Encrypt", {"KeyId": "{key}", "Plaintext": "eA==", "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, USAGE, None),
    ("Encrypt", {"KeyId": "{key}", "Plaintext": "eA==", "EncryptionAlgorithm": "ROT13"}, VALIDATION, None),
    ("Encrypt", {"KeyId": "{key}", "Plaintext": "eA==", "GrantTokens": ["x"]}, "InvalidGrantTokenException", None),
    ("Encrypt", {"KeyId": "{key}", "Plaintext": "eA==", "DryRun": True}, "DryRunOperationException",
     "The request would have succeeded, but the DryRun option is set."),
    ("GenerateRandom", {"NumberOfBytes": 1, "Recipient": {"AttestationDocument": BLOB, "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_1"}}, VALIDATION,
     violated("recipient.keyEncryptionAlgorithm", ENUM + "[RSAES_OAEP_SHA_256]", "RSAES_OAEP_SHA_1")),
    ("GenerateRandom", {"NumberOfBytes": 1, "Recipient": {"AttestationDocument": BLOB, "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}},
     VALIDATION, None),
    # Policies
    ("GetKeyPolicy", {"KeyId": "{key}", "PolicyName": "other"}, NOT_FOUND, "No such policy exists"),
    ("PutKeyPolicy", {"KeyId": "{key}", "Policy": "{"}, "MalformedPolicyDocumentException", None),
    ("PutKeyPolicy", {"KeyId": "{key}", "Policy": " " * 32769}, "LimitExceededException", None),
    # What AWS has and this service has not
    ("CreateKey", {"KeySpec": "RSA_2048"}, UNSUPPORTED, "CreateKey with KeySpec RSA_2048 is not supported by this service"),
    ("CreateKey", {"KeyUsage": "SIGN_VERIFY"}, UNSUPPORTED, "CreateKey with KeyUsage SIGN_VERIFY is not supported by this service"),
    ("CreateKey", {"Origin": "EXTERNAL"}, UNSUPPORTED, "CreateKey with Origin EXTERNAL is not supported by this service"),
    ("CreateKey", {"MultiRegion": True}, UNSUPPORTED, "CreateKey with MultiRegion is not supported by this service"),
    ("CreateKey", {"CustomKeyStoreId": "x"}, UNSUPPORTED, "CreateKey with CustomKeyStoreId is not supported by this service"),
    ("CreateKey", {"KeySpec": "ROT13"}, VALIDATION, None),
    *((operation, {}, UNSUPPORTED, f"{operation} is not supported by this service") for operation in (
        "CreateGrant", "ListGrants", "RetireGrant", "RevokeGrant", "ListRetirableGrants", "ImportKeyMaterial", "GetParametersForImport",
        "DeleteImportedKeyMaterial", "CreateCustomKeyStore", "DescribeCustomKeyStores", "GenerateDataKeyPair", "GetPublicKey", "Sign",
        "Verify", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "ReplicateKey", "UpdatePrimaryRegion")),
    ("MakeTea", {}, "UnknownOperationException", ""),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[2]}")
def test_refusals(service, names, row):
    operation, members, error, message = row
    answer = service.send("owner", operation, json.dumps(filled(members, names)))
    body = json.loads(answer.content)
    assert (answer.status_code, body["__type"]) == (400, error), body
    if message is not None:
        assert body.get("message", "") == filled(message, names)
    assert set(body) <= {"__type", "message"}
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-amzn-RequestId"])
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"


def test_nothing_refused_was_done(service, names):
    """The table has gone by: the keys are as they were."""
    owner = service.client("owner")
    assert owner.describe_key(KeyId=names["key"])["KeyMetadata"]["Description"] == ""
    assert owner.list_resource_tags(KeyId=names["key"])["Tags"] == []
    assert [entry["AliasName"] for entry in owner.list_aliases()["Aliases"]] == ["alias/taken"]
    assert len(owner.list_keys()["Keys"]) == len(names)


@pytest.mark.parametrize("body", ["[]", "{", "\"x\"", '{"Limit":1,"Limit":2}', "\xff", "[" * 40])
def test_bodies_that_are_no_object(service, body):
    answer = service.send("owner", "ListKeys", body.encode("latin-1"))
    assert (answer.status_code, json.loads(answer.content)["__type"]) == (400, "SerializationException")


def test_every_operation_of_the_model_is_known(service):
    """What the client's own model lists is either carried out or named as unsupported, never unknown."""
    client = service.client("owner")
    started = time.monotonic()
    for operation in client.meta.service_model.operation_names:
        answer = json.loads(service.send("owner", operation, '{"Limit": 0, "KeyId": 7, "AliasName": 7, "Plaintext": 7}').content or b"{}")
        assert answer.get("__type") != "UnknownOperationException", operation
    assert time.monotonic() - started < 30
