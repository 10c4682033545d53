"""AWS on loopback: moto's server, over HTTP and HTTPS, with what it lacks of CloudFormation and of access control. Run as a program:
moto_aws.py CERTIFICATE KEY JOURNAL prints the two addresses.

What is added, and where it ends:
- CloudFormation makes AWS::S3::BucketPolicy and AWS::CodeBuild::Project, with moto's own S3 and CodeBuild, and updates AWS::KMS::Key. Of a
  bucket's properties moto takes encryption and tags; versioning is added, the others are not acted on.
- Requests to S3, KMS, Secrets Manager and SSM by an assumed role are judged by the role's policies and those of bucket or key, conditions
  included (policies.py). moto's own enforcement reads no conditions and is off. Everybody else is the administrator of their account, for whom
  resource policies count alone. A request is over TLS if it came so.
- Each judgement is a line of JSON in JOURNAL.
CodeBuild runs nothing here, EC2 launches nothing, S3 asks no KMS."""

import io
import json
import ssl
import sys
import threading
import urllib.parse

from moto.cloudformation import parsing
from moto.cloudformation.models import CloudFormationBackend
from moto.codebuild.models import codebuild_backends
from moto.core.common_models import CloudFormationModel
from moto.iam.access_control import PermissionResult
from moto.iam.models import Role, iam_backends
from moto.kms.models import Key, kms_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.exceptions import BucketNotEmpty
from moto.s3.models import FakeBucket, s3_backends
from moto.sts.models import sts_backends
from werkzeug.serving import make_server

import moto_change_sets  # noqa: F401  for `aws cloudformation deploy`
from policies import permitted

PARTITION = "aws"
TARGETS = {"TrentService": "kms", "secretsmanager": "secretsmanager", "AmazonSSM": "ssm"}
ADMINISTRATOR = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
KEY_HEADERS = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-acl")


# --- CloudFormation -------------------------------------------------------------------------------------------


class Resource(CloudFormationModel):
    __module__ = "moto.s3.models"  # where moto looks for the service
    attributes = ()

    def __init__(self, name):
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type():
        return ""

    @classmethod
    def has_cfn_attr(cls, attr):
        return attr in cls.attributes

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
        return cls(cls.put(cloudformation_json["Properties"], account_id, region_name))

    @classmethod
    def update_from_cloudformation_json(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
        cls.put(cloudformation_json["Properties"], account_id, region_name)
        return original_resource


class BucketPolicy(Resource, CloudFormationModel):
    __module__ = Resource.__module__

    @staticmethod
    def cloudformation_type():
        return "AWS::S3::BucketPolicy"

    @staticmethod
    def put(properties, account, _region):
        s3_backends[account][PARTITION].put_bucket_policy(properties["Bucket"], json.dumps(properties["PolicyDocument"]).encode())
        return properties["Bucket"]

    def delete(self, account, _region):
        if bucket_named(self.physical_resource_id)[1] is not None:  # moto deletes in any order
            s3_backends[account][PARTITION].delete_bucket_policy(self.physical_resource_id)


def camel(value):
    """CloudFormation's names of properties as the API has them: ServiceRole is serviceRole."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: camel(one) for name, one in value.items()}
    return [camel(one) for one in value] if isinstance(value, list) else value


class CodeBuildProject(Resource, CloudFormationModel):
    __module__ = Resource.__module__

    @staticmethod
    def cloudformation_type():
        return "AWS::CodeBuild::Project"

    @staticmethod
    def put(properties, account, region):
        has = camel(properties)
        source = {("buildspec" if name == "buildSpec" else name): value for name, value in has["source"].items()}
        codebuild_backends[account][region].create_project(
            has["name"], has["description"], source, has["artifacts"], has["environment"], has["serviceRole"], None, None,
            has["timeoutInMinutes"], None, has.get("sourceVersion"), has["logsConfig"], None)
        return has["name"]

    def delete(self, account, region):
        codebuild_backends[account][region].delete_project(self.physical_resource_id)


delete_stack = CloudFormationBackend.delete_stack


def delete_stack_or_say_so(self, name):
    """A stack that cannot be deleted is there still; moto forgets it."""
    for stack in [one for one in self.stacks.values() if name in (one.name, one.stack_id)]:
        try:
            delete_stack(self, stack.stack_id)
        except Exception as error:  # whatever a service says: CloudFormation reports it as a status
            stack.status, stack.stack_status_reason = "DELETE_FAILED", str(error)
            self.stacks[stack.stack_id] = stack


CloudFormationBackend.delete_stack = delete_stack_or_say_so
clean, differences = parsing.clean_json, parsing.ResourceMap.build_resource_diff


def clean_without_nothing(value, resources):
    """AWS::NoValue takes a list's item away; moto leaves None."""
    cleaned = clean(value, resources)
    return [one for one in cleaned if one is not None] if isinstance(cleaned, list) else cleaned


def differences_by_conditions(self, other_template, parameters=None):
    """moto looks for changed parameters among a resource's own references, not among those of its conditions."""
    found = differences(self, other_template, parameters)
    for name, resource in other_template["Resources"].items():
        if parameters and name not in found["Add"] + found["Modify"] and "Fn::If" in json.dumps(resource):
            found["Modify"].append(name)
    return found


parsing.clean_json, parsing.ResourceMap.build_resource_diff = clean_without_nothing, differences_by_conditions
make_key = Key.create_from_cloudformation_json.__func__


def make_key_with_text(cls, *words, **more):
    """moto keeps the policy as an object, and would answer GetKeyPolicy with one."""
    key = make_key(cls, *words, **more)
    key.policy = key.policy_of_template = json.dumps(key.policy)
    return key


keep_policy = Role.put_policy


def keep_policy_as_text(self, name, policy):
    keep_policy(self, name, policy if isinstance(policy, str) else json.dumps(policy))


def update_key(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
    """As AWS's handler does (aws-cloudformation-resource-providers-kms, UpdateHandler): it compares the templates, not what the key has."""
    policy = json.dumps(cloudformation_json["Properties"]["KeyPolicy"])
    if policy != original_resource.policy_of_template:
        original_resource.policy = original_resource.policy_of_template = policy
    return original_resource


Role.put_policy = keep_policy_as_text
Key.create_from_cloudformation_json = classmethod(make_key_with_text)
Key.update_from_cloudformation_json = classmethod(update_key)
make_bucket = FakeBucket.create_from_cloudformation_json.__func__


def make_versioned_bucket(cls, resource_name, cloudformation_json, account_id, region_name, **more):
    bucket = make_bucket(cls, resource_name, cloudformation_json, account_id, region_name, **more)
    versioning = cloudformation_json.get("Properties", {}).get("VersioningConfiguration", {})
    if versioning:
        s3_backends[account_id][PARTITION].put_bucket_versioning(resource_name, versioning["Status"])
    return bucket


def delete_empty_bucket(cls, resource_name, cloudformation_json, account_id, region_name):
    """moto leaves a bucket that is not empty and says nothing."""
    if s3_backends[account_id][PARTITION].delete_bucket(resource_name) is None:
        raise BucketNotEmpty(resource_name)


FakeBucket.create_from_cloudformation_json = classmethod(make_versioned_bucket)
FakeBucket.delete_from_cloudformation_json = classmethod(delete_empty_bucket)
FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL


# --- access ---------------------------------------------------------------------------------------------------


def who(environ):
    """Account, principal and (inline) policies of the role whose session signed. A role that is not there is its account's administrator."""
    key = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0]
    for account in list(sts_backends):
        found = sts_backends[account][PARTITION].get_assumed_role_from_access_key(key)
        if found:
            account, role = found.role_arn.split(":")[4], found.role_arn.rpartition("/")[2]
            iam = iam_backends[account][PARTITION]
            if role not in {one.name for one in iam.roles.values()}:
                return account, f"arn:aws:iam::{account}:root", [ADMINISTRATOR]
            return account, found.role_arn, [document(iam.get_role_policy(role, one)[1]) for one in iam.list_role_policies(role)]
    raise PermissionError("an access key that nobody was given")


def document(policy):
    return json.loads(policy) if isinstance(policy, str) else policy


def bucket_named(name):
    for account in list(s3_backends):
        bucket = s3_backends[account][PARTITION].buckets.get(name)
        if bucket:
            return account, bucket
    return None, None


class Judge:
    def __init__(self, app, journal):
        self.app, self.journal, self.lock, self.uploads = app, journal, threading.Lock(), {}

    def s3(self, environ):
        """An object's request, or None. Parts of an upload count as encrypted as their upload began."""
        _, bucket, key = (environ["PATH_INFO"] + "//").split("/", 2)
        query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        key, method = key.strip("/"), environ["REQUEST_METHOD"]
        if not bucket or (not key and (method != "GET" or set(query) - {"list-type", "prefix", "delimiter", "encoding-type", "max-keys"})):
            return None
        name = {"GET": "GetObject", "HEAD": "GetObject", "DELETE": "DeleteObject"}.get(method, "PutObject") if key else "ListBucket"
        if method == "DELETE" and "uploadId" in query:
            name = "AbortMultipartUpload"
        account, found = bucket_named(bucket)
        headers = {one: environ["HTTP_" + one.upper().replace("-", "_")] for one in KEY_HEADERS if "HTTP_" + one.upper().replace("-", "_") in environ}
        if "uploads" in query:
            self.uploads[bucket, key] = headers
        elif "uploadId" in query:
            headers = self.uploads.get((bucket, key), headers)
        keys = {f"s3:{one}": value for one, value in headers.items()} | {"aws:ResourceAccount": account}
        policy = json.loads(found.policy) if found is not None and found.policy else None
        return f"s3:{name}", f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else ""), keys, policy, account

    def api(self, environ, body):
        """A request of an API whose operation is in X-Amz-Target, or None."""
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if service not in TARGETS:
            return None
        told = json.loads(body or b"{}")
        resource = told.get("KeyId") or told.get("SecretId") or told.get("Name") or "*"
        account = (resource.split(":") + [""] * 5)[4]
        policy = None
        if TARGETS[service] == "kms" and resource.startswith("arn:") and account:
            region, name = resource.split(":")[3], resource.rpartition("/")[2]
            key = kms_backends[account][region].keys.get(name)
            policy = document(key.policy) if key else None
        return f"{TARGETS[service]}:{operation}", resource, {}, policy, account

    def refuse(self, start, asked):
        if asked.startswith("s3:"):
            kind, text = "application/xml", "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            status = "403 Forbidden"
        else:
            kind, status = "application/x-amz-json-1.1", "400 Bad Request"
            text = json.dumps({"__type": "AccessDeniedException", "message": f"not authorized to perform: {asked}"})
        start(status, [("Content-Type", kind), ("Content-Length", str(len(text)))])
        return [text.encode()]

    def __call__(self, environ, start):
        signed_for = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
        service = signed_for[3] if len(signed_for) > 3 else ""
        if service == "s3":
            asked = self.s3(environ)
        else:
            length = int(environ.get("CONTENT_LENGTH") or 0) if "HTTP_X_AMZ_TARGET" in environ else 0
            body = environ["wsgi.input"].read(length)
            if length:
                environ["wsgi.input"] = io.BytesIO(body)
            asked = self.api(environ, body)
        if not asked:
            return self.app(environ, start)
        action, resource, keys, policy, owner = asked
        account, principal, identity = who(environ)
        request = {"principal": principal, "action": action, "resource": resource,
                   "keys": keys | {"aws:SecureTransport": str(environ["wsgi.url_scheme"] == "https").lower()}}
        good = permitted(request, identity, policy, same_account=account == owner or not owner)
        with self.lock, open(self.journal, "a", encoding="utf-8") as journal:
            journal.write(json.dumps({"good": good, **request}) + "\n")
        return self.app(environ, start) if good else self.refuse(start, action)


def main(certificate, key, journal):
    app = Judge(DomainDispatcherApplication(create_backend_app), journal)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    servers = [make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler, ssl_context=one) for one in (None, context)]
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    print(f"http://127.0.0.1:{servers[0].server_port} https://127.0.0.1:{servers[1].server_port}", flush=True)
    threads[0].join()


if __name__ == "__main__":
    main(*sys.argv[1:])
