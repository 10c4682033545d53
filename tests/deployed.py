"""All of deploy/aws in moto's AWS, with what has to be there before: Cloister's programs in a bucket of each account, the signing key, a network."""

import base64
import json
import struct
import subprocess

import zstandard
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud import HOST, OWNER, REGION
from codebuild import package_of
from forge import hkdf
from kms_service import Service, find_program, run

SIGNING_KEY = f"arn:aws:ssm:{REGION}:{OWNER}:parameter/cloister/signing-key"
PROGRAMS = "cloister-programs"  # bucket of each account
KEY_SHOW_SECONDS = 60
OTHER_PCR = "c" * 96  # PCR1 and PCR2, which no policy here names


class Deployed:
    def __init__(self, cloud, binaries, signer):
        self.cloud = cloud
        links = {f"bin/{name}": binaries[name] for name in ("cloister", "cloisterd", "cloister-init")}
        packages = {OWNER: package_of(links), HOST: package_of({"bin/cloister": b'#!/bin/sh\necho "cloister $*" >> "$STAND_IN_LOG"\n'})}
        for account, (content, _) in packages.items():
            s3 = cloud.client("s3", account)
            s3.create_bucket(Bucket=f"{PROGRAMS}-{account}", CreateBucketConfiguration={"LocationConstraint": REGION})
            s3.put_object(Bucket=f"{PROGRAMS}-{account}", Key="cloister.tar.gz", Body=content)
        pem = signer.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        cloud.client("ssm", OWNER).put_parameter(Name="/cloister/signing-key", Type="SecureString", Value=pem)
        self.secret = cloud.client("secretsmanager", OWNER).create_secret(Name="cloister/signing-key", SecretString=pem)["ARN"]
        self.network = cloud.client("ec2", HOST).create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]

        self.bucket = cloud.create(HOST, "sharing-bucket", ThirdPartyName="acme", ThirdPartyAWSAccountNumber=OWNER)
        self.programs = {account: {"CloisterPackageBucketName": f"{PROGRAMS}-{account}", "CloisterPackageKey": "cloister.tar.gz",
                                   "CloisterPackageSha256": digest} for account, (_, digest) in packages.items()}
        self.external = {"ExternalBucketName": self.bucket["ThirdPartyBucketName"],
                         "ExternalBucketEncryptionKeyArn": self.bucket["ThirdPartyBucketKMSCMKArn"],
                         "ExternalBucketAWSAccountNumber": self.bucket["HostAWSAccountNumber"]}
        self.encrypting = {"CodeCommitRepositoryName": "applications", "ApplicationCodeDirectoryName": "app", "ApplicationName": "fruit",
                           "SigningKeyArn": SIGNING_KEY, **self.programs[OWNER], **self.external}
        self.encryptor = cloud.create(OWNER, "application-encryptor", **self.encrypting)
        self.key = self.encryptor["EnclaveKeyARN"]
        self.hosting = {"EnclaveKeyArn": self.key, "SharingBucketName": self.bucket["ThirdPartyBucketName"], "VpcId": self.network,
                        "SharingBucketKeyArn": self.bucket["ThirdPartyBucketKMSCMKArn"], "EnclaveMemoryMiB": 4096, **self.programs[HOST]}
        self.host = cloud.create(HOST, "enclave-host", **self.hosting)
        self.building = {"CodeCommitRepositoryName": "applications", "AllowedReleases": "1 2", "KernelPath": "kernel",
                         "HostPrincipalArn": self.host["EnclaveHostRoleArn"], **self.programs[OWNER], **self.external}
        self.builder = cloud.create(OWNER, "image-builder", **self.building)
        self.name = self.bucket["ThirdPartyBucketName"]

    def cloister(self, binaries, *words, code=0):
        """The command line of the owner's administrator."""
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.cloud.folder), **self.cloud.environment(self.cloud.credentials[OWNER])}
        done = subprocess.run([binaries["cloister"], *map(str, words)], env=env, capture_output=True, text=True, timeout=KEY_SHOW_SECONDS)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def shown(self, binaries):
        """What `cloister key show` says of the key, in which --check finds nothing to warn of."""
        return json.loads(self.cloister(binaries, "key", "show", "-k", self.key, "--json", "--check"))


class Referee:
    """The embedded KMS, asked whether somebody decrypts under a key policy that landed elsewhere: our engine, over real attestation documents. The
    host's role has the identity policy that landed, too."""

    def __init__(self, folder, landed_key, identity):
        self.folder, self.landed_key = folder, landed_key
        self.service = Service(folder / "kms", "--development-root", str(folder / "root/root.pem"))
        self.service.start()
        self.owner = self.service.client("owner")
        self.key = self.owner.create_key()["KeyMetadata"]["Arn"]
        (folder / "identity.json").write_text(json.dumps(identity).replace(landed_key, self.key))
        run("principal", "--dir", folder / "kms", "--role", "cloister-enclave-host", "--account", HOST, "--iam-policy", folder / "identity.json",
            "-o", folder / "kms/host.env")
        self.host = self.service.client("host")
        public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
        (folder / "key.der").write_bytes(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))

    def recipient(self, pcr0):
        words = [find_program("attest"), self.folder / "root", self.folder / "key.der", pcr0, OTHER_PCR, OTHER_PCR]
        made = subprocess.run([str(word) for word in words], capture_output=True, check=True, timeout=KEY_SHOW_SECONDS)
        return {"Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": made.stdout}}

    def decrypts(self, policy, who, pcr0=None, release="1"):
        self.owner.put_key_policy(KeyId=self.key, PolicyName="default", Policy=json.dumps(policy).replace(self.landed_key, self.key))
        context = {"cloister:release": release, "cloister:name": "fruit"}
        blob = self.owner.generate_data_key(KeyId=self.key, KeySpec="AES_256", EncryptionContext=context)["CiphertextBlob"]
        try:
            answer = who.decrypt(KeyId=self.key, CiphertextBlob=blob, EncryptionContext=context, **(self.recipient(pcr0) if pcr0 else {}))
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException", error
            return False
        return ("Plaintext" in answer) != bool(pcr0)

    def moves(self, policy):
        """Whether the owner can re-encrypt to a key of their own, which asks for no document."""
        self.owner.put_key_policy(KeyId=self.key, PolicyName="default", Policy=json.dumps(policy).replace(self.landed_key, self.key))
        other = self.owner.create_key()["KeyMetadata"]["Arn"]
        blob = self.owner.generate_data_key(KeyId=self.key, KeySpec="AES_256")["CiphertextBlob"]
        try:
            self.owner.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException", error
            return False
        return True


def opened(package, data_key):
    """The archive in a package of one segment. docs/formats/package.md."""
    (length,) = struct.unpack(">I", package[8:12])
    start, rest = package[:12 + length], package[12 + length:]
    aead = AESGCM(hkdf(data_key, rest[1:33], start))
    content = aead.decrypt(rest[33:40] + struct.pack(">IB", 0, 1), rest[40:], None)
    return zstandard.ZstdDecompressor().decompressobj().decompress(content)


def first_boot(cloud, outputs):
    """User data of the launch template."""
    template = cloud.client("ec2", HOST).describe_launch_template_versions(LaunchTemplateId=outputs["LaunchTemplateId"])
    data = template["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["ImageId"] == "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
    return base64.b64decode(data["UserData"]).decode()
