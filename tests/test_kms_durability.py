"""What the embedded KMS has acknowledged outlives it: it is killed at random moments while several threads write, and started again."""

import json
import random
import sqlite3
import threading
import time

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from kms_service import ACCOUNT, WHY_NOT, Service

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

ROUNDS = 12
WRITERS = 4
LONGEST = 0.6  # seconds of writing in a round
CHANGES_PER_KEY = 12
SEED = 20


def policy_number(number):
    return json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": f"n{number}", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}]})


class Key:
    """What has been acknowledged of one key, and the one change that was under way when the service died: it may be there or not."""

    def __init__(self, arn):
        self.arn = arn
        self.alias = None
        self.known = {"description": "", "enabled": True, "pending": False, "tags": {}, "policy": None, "aliases": [], "rotates": False}
        self.under_way = None

    def change(self, call, members, **effect):
        self.under_way = effect
        call(**members)
        self.known.update(effect)
        self.under_way = None

    def possible(self):
        yield self.known
        if self.under_way is not None:
            yield {**self.known, **self.under_way}


def seen(client, arn):
    described = client.describe_key(KeyId=arn)["KeyMetadata"]
    policy = json.loads(client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
    return {
        "description": described["Description"],
        "enabled": described["KeyState"] == "Enabled",
        "pending": described["KeyState"] == "PendingDeletion",
        "tags": {tag["TagKey"]: tag["TagValue"] for tag in client.list_resource_tags(KeyId=arn)["Tags"]},
        "policy": policy["Statement"][0].get("Sid") if policy["Statement"][0].get("Sid", "").startswith("n") else None,
        "aliases": sorted(entry["AliasName"] for entry in client.list_aliases(KeyId=arn)["Aliases"]),
        "rotates": client.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"],
    }


def change_something(client, key, number, chance):
    tags, known, arn = dict(key.known["tags"]), key.known, key.arn
    what = chance.choice(["describe", "tag", "untag", "policy", "enable", "alias", "rotate"])
    if what == "describe":
        key.change(client.update_key_description, {"KeyId": arn, "Description": f"d{number}"}, description=f"d{number}")
    elif what == "tag":
        tags[f"t{number % 3}"] = str(number)
        key.change(client.tag_resource, {"KeyId": arn, "Tags": [{"TagKey": f"t{number % 3}", "TagValue": str(number)}]}, tags=tags)
    elif what == "untag":
        tags.pop(f"t{number % 3}", None)
        key.change(client.untag_resource, {"KeyId": arn, "TagKeys": [f"t{number % 3}"]}, tags=tags)
    elif what == "policy":
        key.change(client.put_key_policy, {"KeyId": arn, "PolicyName": "default", "Policy": policy_number(number)}, policy=f"n{number}")
    elif what == "enable":
        call = client.disable_key if known["enabled"] else client.enable_key
        key.change(call, {"KeyId": arn}, enabled=not known["enabled"])
    elif what == "alias":
        name = f"alias/{arn.rpartition('/')[2]}/{number}"
        key.change(client.create_alias, {"AliasName": name, "TargetKeyId": arn}, aliases=sorted([*known["aliases"], name]))
    elif known["enabled"]:
        call = client.disable_key_rotation if known["rotates"] else client.enable_key_rotation
        key.change(call, {"KeyId": arn}, rotates=not known["rotates"])


def write(client, keys, chance, failures):
    """Until the service is gone."""
    try:
        while True:
            key = Key(client.create_key()["KeyMetadata"]["Arn"])
            keys.append(key)
            for number in range(CHANGES_PER_KEY):
                change_something(client, key, number, chance)
            if chance.random() < 0.5:
                key.change(client.schedule_key_deletion, {"KeyId": key.arn}, pending=True, enabled=False, rotates=False)
    except ClientError as error:
        failures.append(error)
    except BotoCoreError:
        pass  # no connection, or no answer


def check(client, keys):
    for key in keys:
        found = seen(client, key.arn)
        assert any(found == expected for expected in key.possible()), (key.known, key.under_way, found)


def test_whatever_was_acknowledged_outlives_kill(tmp_path):
    chance = random.Random(SEED)
    service = Service(tmp_path / "k")
    options = Config(retries={"total_max_attempts": 1}, max_pool_connections=WRITERS)
    keys, failures = [], []
    for _ in range(ROUNDS):
        service.start()
        client = service.client("owner", config=options)
        mine = [[] for _ in range(WRITERS)]
        threads = [threading.Thread(target=write, args=(client, own, random.Random(chance.random()), failures)) for own in mine]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.05, LONGEST))
        service.end(9)
        for thread in threads:
            thread.join(10)
        assert not failures and not any(thread.is_alive() for thread in threads)
        keys += [key for own in mine for key in own]
    service.start()
    client = service.client("owner")
    assert len(keys) > ROUNDS * WRITERS / 2, "too little was written to show anything"
    assert any(key.under_way is not None for key in keys), "never killed amid a change"
    check(client, keys)
    listed = {entry["KeyArn"] for page in client.get_paginator("list_keys").paginate() for entry in page["Keys"]}
    assert {key.arn for key in keys} <= listed
    assert service.end() == 0
    with sqlite3.connect(tmp_path / "k" / "kms.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
