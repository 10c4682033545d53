"""What the embedded KMS does, in breadth, through boto3: paging, limits, states, time."""

import datetime
import json
import sqlite3

import pytest
from botocore.exceptions import ClientError

from kms_service import ACCOUNT, HOST_ROLE, REGION, WHY_NOT, Boto, Service, run

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("kms api") / "data")
    service.start()
    yield service
    assert service.end() == 0


@pytest.fixture
def owner(service):
    return service.client("owner")


@pytest.fixture
def host(service):
    return service.client("user")


@pytest.fixture
def key(owner):
    return owner.create_key(Description="a test's")["KeyMetadata"]["Arn"]


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    return error.get("Message", "")


def add_statement(owner, key, **statement):
    policy = json.loads(owner.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"].append({"Resource": "*", **statement})
    owner.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def state(owner, key):
    return owner.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]


def pages(client, operation, size, **members):
    return list(client.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **members))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_lists_come_in_pages(owner, key, size):
    names = [f"alias/page/{size}/{number}" for number in range(4)]
    for name in names:
        owner.create_alias(AliasName=name, TargetKeyId=key)
    owner.tag_resource(KeyId=key, Tags=[{"TagKey": f"k{number}", "TagValue": ""} for number in range(4)])
    keys = [entry["KeyId"] for page in pages(owner, "list_keys", size) for entry in page["Keys"]]
    assert key.rpartition("/")[2] in keys and len(keys) == len(set(keys))
    got = pages(owner, "list_aliases", size, KeyId=key)
    assert [entry["AliasName"] for page in got for entry in page["Aliases"]] == names
    assert [len(page["Aliases"]) for page in got][:-1] == [size] * (len(got) - 1)
    tags = [entry["TagKey"] for page in pages(owner, "list_resource_tags", size, KeyId=key) for entry in page["Tags"]]
    assert tags == ["k0", "k1", "k2", "k3"]


def test_markers_belong_to_their_operation(owner, key):
    owner.create_key()
    first = owner.list_keys(Limit=1)
    assert first["Truncated"] is True
    assert owner.list_keys(Limit=1, Marker=first["NextMarker"])["Keys"] != first["Keys"]
    refused("InvalidMarkerException", owner.list_aliases, Marker=first["NextMarker"])
    refused("InvalidMarkerException", owner.list_keys, Marker="garbage")
    assert "NextMarker" not in owner.list_keys(Limit=1000)


def test_aliases_move(owner, key):
    other = owner.create_key()["KeyMetadata"]["Arn"]
    owner.create_alias(AliasName="alias/moves", TargetKeyId=key)
    blob = owner.encrypt(KeyId="alias/moves", Plaintext=b"before")["CiphertextBlob"]
    owner.update_alias(AliasName="alias/moves", TargetKeyId=other)
    assert owner.encrypt(KeyId=f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/moves", Plaintext=b"x")["KeyId"] == other
    assert owner.decrypt(CiphertextBlob=blob)["Plaintext"] == b"before"
    entry = owner.list_aliases(KeyId=other)["Aliases"][0]
    assert entry["LastUpdatedDate"] > entry["CreationDate"]
    assert owner.list_aliases(KeyId=key)["Aliases"] == []


def test_contexts_and_keys_of_ciphertexts(owner, key):
    context = {"application": "demo", "release": "1"}
    blob = owner.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=context)["CiphertextBlob"]
    assert b"secret" not in blob
    refused("InvalidCiphertextException", owner.decrypt, CiphertextBlob=blob, EncryptionContext={**context, "release": "2"})
    refused("InvalidCiphertextException", owner.decrypt, CiphertextBlob=blob[:-1] + bytes([blob[-1] ^ 1]), EncryptionContext=context)
    other = owner.create_key()["KeyMetadata"]["Arn"]
    refused("IncorrectKeyException", owner.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=other)
    moving = {"CiphertextBlob": blob, "DestinationKeyId": other}
    refused("InvalidCiphertextException", owner.re_encrypt, **moving)
    refused("IncorrectKeyException", owner.re_encrypt, **moving, SourceKeyId=other, SourceEncryptionContext=context)
    moved = owner.re_encrypt(**moving, SourceEncryptionContext=context, DestinationEncryptionContext=context)
    assert moved["SourceEncryptionAlgorithm"] == moved["DestinationEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert owner.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext=context)["KeyId"] == other
    assert owner.decrypt(CiphertextBlob=blob, EncryptionContext=context)["KeyId"] == key


def test_reencryption_needs_leave_of_both_keys(owner, host, key):
    other = owner.create_key()["KeyMetadata"]["Arn"]
    blob = owner.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    asked = {"CiphertextBlob": blob, "SourceEncryptionContext": {"a": "1"}, "DestinationKeyId": other,
             "DestinationEncryptionContext": {"b": "2"}}
    rule = {"Effect": "Allow", "Principal": {"AWS": HOST_ROLE}}
    assert "kms:ReEncryptFrom" in refused("AccessDeniedException", host.re_encrypt, **asked)
    # The conditions of each key see that key's own context.
    add_statement(owner, key, **rule, Action="kms:ReEncryptFrom", Condition={"StringEquals": {"kms:EncryptionContext:a": "1"},
                                                                              "Null": {"kms:EncryptionContext:b": "true"}})
    assert "kms:ReEncryptTo" in refused("AccessDeniedException", host.re_encrypt, **asked)
    add_statement(owner, other, **rule, Action="kms:ReEncryptTo", Condition={
        "StringEquals": {"kms:EncryptionContext:b": "2"}, "Bool": {"kms:ReEncryptOnSameKey": "false"}})
    assert owner.decrypt(CiphertextBlob=host.re_encrypt(**asked)["CiphertextBlob"], EncryptionContext={"b": "2"})["Plaintext"] == b"x"


def test_the_host_may_do_what_the_owner_allows(owner, host, key):
    context = {"release": "1"}
    blob = owner.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    message = refused("AccessDeniedException", host.decrypt, CiphertextBlob=blob, EncryptionContext=context)
    assert "is not authorized to perform: kms:Decrypt on resource: " + key in message
    add_statement(owner, key, Effect="Allow", Principal={"AWS": HOST_ROLE}, Action="kms:Decrypt",
                  Condition={"StringEquals": {"kms:EncryptionContext:release": ["1"]}})
    assert host.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"x"
    add_statement(owner, key, Effect="Deny", Principal={"AWS": HOST_ROLE}, Action="kms:Decrypt",
                  Condition={"Null": {"kms:RecipientAttestation:ImageSha384": "true"}})
    assert "explicit deny" in refused("AccessDeniedException", host.decrypt, CiphertextBlob=blob, EncryptionContext=context)
    assert owner.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"x"


def test_tags_decide_conditions(owner, host, key):
    add_statement(owner, key, Effect="Allow", Principal={"AWS": HOST_ROLE}, Action="kms:DescribeKey",
                  Condition={"StringEquals": {"aws:ResourceTag/team": "ocr"}})
    refused("AccessDeniedException", host.describe_key, KeyId=key)
    owner.tag_resource(KeyId=key, Tags=[{"TagKey": "team", "TagValue": "ocr"}])
    assert host.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key


def test_policies_that_cannot_be_kept_are_refused(owner, key):
    for policy in (
        "{}",
        json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
                                   "Condition": {"StringAlmostEquals": {"aws:PrincipalArn": "x"}}}]}),
        json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"AWS": HOST_ROLE}, "Action": "kms:*", "Resource": "*"}]}),
    ):
        refused("MalformedPolicyDocumentException", owner.put_key_policy, KeyId=key, PolicyName="default", Policy=policy)
    refused("LimitExceededException", owner.put_key_policy, KeyId=key, PolicyName="default", Policy="{" + " " * 33000 + "}")
    refused("NotFoundException", owner.get_key_policy, KeyId=key, PolicyName="another")


@pytest.mark.skipif(Boto.why_not(recent=True) is not None, reason="SKIP: this boto3 is too old for RotateKeyOnDemand")
def test_rotation(owner, key):
    blob = owner.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    before = owner.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    for _ in range(3):
        owner.rotate_key_on_demand(KeyId=key)
    after = owner.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    opened = owner.decrypt(CiphertextBlob=blob)
    assert opened["Plaintext"] == b"old" and opened["KeyMaterialId"] == before != after
    rotations = [entry for page in pages(owner, "list_key_rotations", 2, KeyId=key) for entry in page["Rotations"]]
    assert [entry["RotationType"] for entry in rotations] == ["ON_DEMAND"] * 3
    assert rotations[-1]["KeyMaterialId"] == after
    owner.enable_key_rotation(KeyId=key, RotationPeriodInDays=100)
    status = owner.get_key_rotation_status(KeyId=key)
    left = status["NextRotationDate"] - datetime.datetime.now(datetime.timezone.utc)
    assert status["RotationPeriodInDays"] == 100 and abs(left - datetime.timedelta(days=100)) < datetime.timedelta(hours=1)
    owner.disable_key_rotation(KeyId=key)
    assert owner.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False


def test_keys_pending_deletion_are_of_no_use(owner, key):
    blob = owner.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    owner.create_alias(AliasName="alias/going", TargetKeyId=key)
    answer = owner.schedule_key_deletion(KeyId=key)
    assert (answer["KeyId"], answer["KeyState"], answer["PendingWindowInDays"]) == (key, "PendingDeletion", 30)
    left = answer["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)
    assert abs(left - datetime.timedelta(days=30)) < datetime.timedelta(hours=1)
    described = owner.describe_key(KeyId=key)["KeyMetadata"]
    assert described["DeletionDate"] == answer["DeletionDate"] and described["Enabled"] is False
    uses = [(owner.encrypt, {"Plaintext": b"x"}), (owner.decrypt, {"CiphertextBlob": blob}),
            (owner.generate_data_key, {"KeySpec": "AES_256"}), (owner.enable_key, {}), (owner.disable_key, {}),
            (owner.schedule_key_deletion, {}), (owner.update_key_description, {"Description": "x"}), (owner.enable_key_rotation, {}),
            (owner.tag_resource, {"Tags": [{"TagKey": "a", "TagValue": "b"}]}), (owner.untag_resource, {"TagKeys": ["a"]})]
    for call, members in uses:
        assert refused("KMSInvalidStateException", call, KeyId=key, **members) == f"{key} is pending deletion."
    refused("KMSInvalidStateException", owner.create_alias, AliasName="alias/late", TargetKeyId=key)
    owner.cancel_key_deletion(KeyId=key)
    assert state(owner, key) == "Disabled"
    assert refused("KMSInvalidStateException", owner.cancel_key_deletion, KeyId=key) == f"{key} is not pending deletion."
    owner.enable_key(KeyId=key)
    assert owner.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_keys_past_their_date_are_gone(tmp_path):
    service = Service(tmp_path / "k")
    service.start()
    owner = service.client("owner")
    key = owner.create_key()["KeyMetadata"]["Arn"]
    stays = owner.create_key()["KeyMetadata"]["Arn"]
    blob = owner.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    owner.create_alias(AliasName="alias/gone", TargetKeyId=key)
    owner.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert service.end() == 0
    with sqlite3.connect(tmp_path / "k" / "kms.db") as database:  # seven days, at once
        database.execute("UPDATE keys SET deletion = 1 WHERE deletion IS NOT NULL")
    service.start()
    owner = service.client("owner")
    assert refused("NotFoundException", owner.describe_key, KeyId=key) == f"Key '{key}' does not exist"
    refused("NotFoundException", owner.cancel_key_deletion, KeyId=key)
    refused("AccessDeniedException", owner.decrypt, CiphertextBlob=blob)
    assert owner.list_aliases()["Aliases"] == []
    assert [entry["KeyArn"] for entry in owner.list_keys()["Keys"]] == [stays]
    assert service.end() == 0


def test_data_of_another_version(tmp_path):
    service = Service(tmp_path / "k")
    with sqlite3.connect(tmp_path / "k" / "kms.db") as database:
        database.execute("UPDATE meta SET value = CAST('99' AS BLOB) WHERE name = 'schema'")
    failed = run("serve", "--dir", service.directory, "--listen", "tcp://127.0.0.1:0", check=False)
    assert failed.returncode == 1 and "a newer version of this program made it (schema 99" in failed.stderr
    assert "hint: use the newer version" in failed.stderr
