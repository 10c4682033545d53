"""The two accounts of deploy/aws on one machine: moto's server (moto_aws.py), stacks in it, and the templates as data."""

import datetime
import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import yaml
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from policies import like, many

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE.parent / "deploy/aws"
STACKS = ("sharing-bucket", "application-encryptor", "image-builder", "enclave-host")
OWNER, HOST = "111122223333", "999988887777"  # accounts
REGION = "eu-central-1"
START_SECONDS = 40


# --- templates ------------------------------------------------------------------------------------------------


class Loader(yaml.SafeLoader):
    """!Sub and its like as {"Fn::Sub": …}, the long form."""


def short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".")
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", short_form)


def load(name):
    with open(TEMPLATES / f"{name}.yaml", encoding="utf-8") as file:
        return yaml.load(file, Loader)


def walk(value, path=()):
    """Every (path, value) below a value."""
    yield path, value
    if isinstance(value, dict):
        for name, one in value.items():
            yield from walk(one, (*path, name))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from walk(one, (*path, i))


# --- the server -----------------------------------------------------------------------------------------------


def certificate(folder):
    """For 127.0.0.1, of an authority of its own: paths of authority, certificate and key."""
    now, key = datetime.datetime.now(datetime.timezone.utc), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "moto on loopback")])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256()))
    (folder / "moto.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "moto.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return folder / "moto.pem", folder / "moto.key"


class Cloud:
    def __init__(self, folder):
        self.folder, self.journal, self.used = folder, folder / "journal", {}
        self.authority, key = certificate(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
        with open(folder / "moto.log", "wb") as log:
            self.process = subprocess.Popen([sys.executable, HERE / "moto_aws.py", self.authority, key, self.journal], env=environment,
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self.plain, self.url = self.process.stdout.readline().split()
        self.credentials = {account: self.session(account) for account in (OWNER, HOST)}

    def close(self):
        self.process.terminate()
        self.process.wait(START_SECONDS)
        self.process.stdout.close()

    def session(self, account, role="administrator", by=None):
        """Variables of a session of a role. moto lets anybody assume any, and one that is not there is its account's administrator."""
        asked = self.client("sts", by or {}).assume_role(RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName="test")["Credentials"]
        return {"AWS_ACCESS_KEY_ID": asked["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": asked["SecretAccessKey"], "AWS_SESSION_TOKEN": asked["SessionToken"]}

    def client(self, service, credentials, url=None):
        """credentials: an account, or what session() gave."""
        env = self.credentials[credentials] if isinstance(credentials, str) else credentials
        return boto3.session.Session().client(
            service, region_name=REGION, endpoint_url=url or self.url, verify=str(self.authority),
            aws_access_key_id=env.get("AWS_ACCESS_KEY_ID", "none"), aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY", "none"),
            aws_session_token=env.get("AWS_SESSION_TOKEN"), config=Config(retries={"total_max_attempts": 1}))

    def environment(self, credentials):
        """For programs: everything of AWS is here."""
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ENDPOINT_URL_KMS": self.url, "AWS_CA_BUNDLE": str(self.authority), "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", **credentials}

    def judged(self):
        """What S3, KMS, Secrets Manager and SSM were asked since the last call, and whether it was allowed."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        self.journal.write_text("")
        requests = [json.loads(line) for line in lines]
        for one in requests:
            if one["good"]:
                self.used.setdefault(one["principal"], set()).add((one["action"], one["resource"]))
        return requests

    # --- stacks -----------------------------------------------------------------------------------------------

    def create(self, account, name, **parameters):
        """A stack of deploy/aws; its outputs."""
        return self.create_as(account, name, name, **parameters)

    def create_as(self, account, stack, template, **parameters):
        body = (TEMPLATES / f"{template}.yaml").read_text()
        stacks = self.client("cloudformation", account)
        stacks.create_stack(StackName=stack, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"], Parameters=listed(parameters))
        return self.outputs(account, stack, "CREATE_COMPLETE")

    def update(self, account, name, **parameters):
        body = (TEMPLATES / f"{name}.yaml").read_text()
        self.client("cloudformation", account).update_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"],
                                                            Parameters=listed(parameters))
        return self.outputs(account, name, "UPDATE_COMPLETE")

    def outputs(self, account, name, status):
        stack = self.client("cloudformation", account).describe_stacks(StackName=name)["Stacks"][0]
        assert stack["StackStatus"] == status, stack
        return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}

    def delete(self, account, name):
        self.client("cloudformation", account).delete_stack(StackName=name)

    def policies_of_role(self, account, role):
        iam = self.client("iam", account)
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]

    def unused_rights(self, account, role):
        """Actions that a role has on something, and has used on nothing of the kind."""
        self.judged()
        used = self.used.get(f"arn:aws:iam::{account}:role/{role}", set())
        rights = [(action, statement["Resource"]) for policy in self.policies_of_role(account, role) for statement in many(policy["Statement"])
                  for action in many(statement["Action"])]
        return {(action, one) for action, resources in rights for one in many(resources)
                if not any(action == done and like(where, one) for done, where in used)}

    def policy_of_key(self, arn, account=OWNER):
        return json.loads(self.client("kms", account).get_key_policy(KeyId=arn, PolicyName="default")["Policy"])


def listed(parameters):
    return [{"ParameterKey": name, "ParameterValue": str(value)} for name, value in parameters.items()]
