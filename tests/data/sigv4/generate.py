#!/usr/bin/env python3
"""Writes the vectors beside it: requests signed by botocore (Debian's python3-botocore)."""
import datetime
import json
import pathlib
from unittest import mock

import botocore.auth
import botocore.awsrequest
import botocore.credentials

KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AT = datetime.datetime(2026, 2, 28, 23, 59, 58)
JSON_TYPE = ("Content-Type", "application/x-amz-json-1.1")

CASES = {
    "kms_decrypt": dict(
        method="POST", url="https://kms.eu-central-1.amazonaws.com/", service="kms", region="eu-central-1",
        headers=[JSON_TYPE, ("X-Amz-Target", "TrentService.Decrypt")],
        body='{"CiphertextBlob":"AQICAHg=","EncryptionContext":{"cloister:name":"é"}}', token=None),
    "kms_session_token": dict(
        method="POST", url="https://kms.us-gov-west-1.amazonaws.com/", service="kms", region="us-gov-west-1",
        headers=[JSON_TYPE, ("X-Amz-Target", "TrentService.ListKeys")], body="{}",
        token="FwoGZXIvYXdzEXAMPLE//+=="),
    "kms_other_port": dict(
        method="POST", url="http://127.0.0.1:8443/", service="kms", region="local",
        headers=[JSON_TYPE, ("X-Amz-Target", "TrentService.CreateKey")], body="", token=None),
    "get_query": dict(
        method="GET", url="https://iam.amazonaws.com/?Version=2010-05-08&Action=ListUsers&A=&Marker=a%20b%2Fc&A=0",
        service="iam", region="us-east-1", headers=[], body="", token=None),
    "get_path": dict(
        method="GET", url="https://example.amazonaws.com/a%20b//c/./d/../e~f/", service="service",
        region="us-east-1", headers=[("X-Amz-Meta", "  two   words  "), ("X-Amz-Meta", "again")], body="",
        token=None),
}


def sign(case):
    request = botocore.awsrequest.AWSRequest(method=case["method"], url=case["url"], data=case["body"].encode())
    for name, value in case["headers"]:
        request.headers[name] = value
    credentials = botocore.credentials.Credentials(KEY_ID, SECRET, case["token"])
    auth = botocore.auth.SigV4Auth(credentials, case["service"], case["region"])
    frozen = mock.Mock(wraps=datetime.datetime)
    frozen.utcnow.return_value = AT
    with mock.patch.object(botocore.auth.datetime, "datetime", frozen):
        auth.add_auth(request)
    authorization = request.headers["Authorization"]
    del request.headers["Authorization"]
    return request, auth.canonical_request(request), authorization


def main():
    here = pathlib.Path(__file__).parent
    for name, case in CASES.items():
        request, canonical, authorization = sign(case)
        host, slash, rest = case["url"].split("://")[1].partition("/")
        vector = dict(method=case["method"], target=slash + rest, host=host, headers=case["headers"],
                      body=case["body"], access_key_id=KEY_ID, secret_access_key=SECRET, session_token=case["token"],
                      region=case["region"], service=case["service"], amz_date=request.headers["X-Amz-Date"],
                      canonical_request=canonical, authorization=authorization)
        text = json.dumps(vector, indent=1, ensure_ascii=False) + "\n"
        (here / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
