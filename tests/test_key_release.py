"""The exchange with KMS, with somebody in the middle who has KMS's certificate, the host's credentials and an account of their own:
more than a host has. docs/security/key-release.md says why each of these fails."""

import base64
import datetime
import email.utils
import json
import re
import subprocess
import time

import pytest

forge = pytest.importorskip("forge", reason="SKIP: needs python3-cbor2, python3-cryptography and python3-zstandard")
pytest.importorskip("botocore", reason="SKIP: needs python3-boto3")

from fake_kms import FakeKms, Middle, Reply, refusal  # noqa: E402
from forge import compress, tar  # noqa: E402
from trial import APP, check_it_runs, check_refused  # noqa: E402

RIVAL = forge.Ed25519PrivateKey.generate()  # whose packages the user runs, too
SKEW = datetime.timedelta(seconds=270)  # enough to be noticed (240 s), and KMS still takes it (300 s)


@pytest.fixture(scope="module")
def lab(lab):
    lab.up()
    lab.folder = lab.sync("shared")
    return lab


@pytest.fixture(scope="module")
def owner(lab):
    made = forge.Forger(lab.kms_client("owner"), lab.make_key())
    lab.ok("user", "signer", "add", "owner", forge.fingerprint(made.signer))
    lab.ok("user", "signer", "add", "rival", forge.fingerprint(RIVAL))
    return made


@pytest.fixture(scope="module")
def package(owner):
    return owner.archive(APP)


def route(lab, url, name="default"):
    """The enclave's proxy takes it there instead of to KMS."""
    lab.run("user", "proxy", "--stop", "--name", name)
    env = lab.environment("user") | {"AWS_ENDPOINT_URL_KMS": url}
    subprocess.run([lab.cloister, "proxy", "-s", "kms", "--name", name], env=env, cwd=lab.root / "user", check=True, capture_output=True)


@pytest.fixture(scope="module")
def wire_tap(lab):
    made = Middle(lab)
    route(lab, made.url)
    yield made
    made.close()


@pytest.fixture
def middle(wire_tap):
    wire_tap.answer = wire_tap.relay
    wire_tap.asked = 0
    yield wire_tap
    wire_tap.answer = wire_tap.relay


def test_what_passes_unchanged_runs(lab, package, middle):
    check_it_runs(lab, package)
    assert middle.asked == 1 and len(middle.envelopes) == len(middle.documents) == 1


# --- what KMS, or whoever answers in its place, may say ---------------------------------------------------------------


def another_key(lab, owner, middle):
    """A data key that the liar knows, from a KMS key of their own, sealed for the enclave as KMS would."""
    account = lab.environment("owner")
    own = lab.make_key()

    def answer(heard):
        recipient = heard.members["Recipient"]
        made = json.loads(middle.ask(account, "GenerateDataKey", {"KeyId": own, "KeySpec": "AES_256", "Recipient": recipient}).body)
        return Reply(200, json.dumps({"KeyId": owner.arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                                      "CiphertextForRecipient": made["CiphertextForRecipient"]}).encode())

    return answer


def changed(middle, **members):
    middle.changed(lambda answer: answer | members)
    return middle.answer


def twice(middle):
    """The envelope twice: readers differ about which of two equal members counts."""

    def answer(heard):
        reply = middle.relay(heard)
        envelope = json.loads(reply.body)["CiphertextForRecipient"]
        return Reply(200, reply.body.rstrip()[:-1] + b',"CiphertextForRecipient":"' + envelope.encode() + b'"}')

    return answer


def one_behind_the_other(middle):
    def double(answer):
        raw = base64.b64decode(answer["CiphertextForRecipient"])
        return answer | {"CiphertextForRecipient": base64.b64encode(raw + raw).decode()}

    middle.changed(double)
    return middle.answer


def earlier_envelope(middle):
    """KMS's own answer to an earlier job of the same package: the right data key, under that job's RSA key."""
    return changed(middle, CiphertextForRecipient=middle.envelopes[0])


def without(middle, name):
    middle.changed(lambda answer: {key: value for key, value in answer.items() if key != name})
    return middle.answer


def flipped(middle, at):
    """A bit of the envelope: `at` is a place in the wrapped key, or counts from the end of the content, which is three blocks in CBC: of the
    first depends the key alone, of the second the padding, too."""

    def flip(answer):
        raw = base64.b64decode(answer["CiphertextForRecipient"])
        place = at if at > 0 else len(raw.rstrip(b"\0")) + at  # behind the content there are only ends
        return answer | {"CiphertextForRecipient": base64.b64encode(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1:]).decode()}

    middle.changed(flip)
    return middle.answer


PLAINTEXT = base64.b64encode(bytes(32)).decode()
ANSWERS = {
    "another data key": (another_key, "not the one that the package's signer committed to"),
    "another KeyId": (lambda lab, owner, middle: changed(middle, KeyId=lab.make_key()), "the answer is about another key"),
    "KeyId that is no ARN": (lambda lab, owner, middle: changed(middle, KeyId=owner.arn.rpartition("/")[2]), "the answer is about another key"),
    "no KeyId": (lambda lab, owner, middle: without(middle, "KeyId"), "KeyId"),
    "plaintext beside": (lambda lab, owner, middle: changed(middle, Plaintext=PLAINTEXT), "a plaintext that only the enclave may see"),
    "plaintext instead": (lambda lab, owner, middle: changed(middle, Plaintext=PLAINTEXT, CiphertextForRecipient=None),
                          "a plaintext that only the enclave may see"),
    "no envelope": (lambda lab, owner, middle: without(middle, "CiphertextForRecipient"), "no CiphertextForRecipient"),
    "a second member": (lambda lab, owner, middle: twice(middle), "twice|duplicate"),
    "a second envelope": (lambda lab, owner, middle: one_behind_the_other(middle), "envelope: .*trailing bytes"),
    "an earlier job's envelope": (lambda lab, owner, middle: earlier_envelope(middle), "the envelope does not open"),
    "a changed wrapped key": (lambda lab, owner, middle: flipped(middle, 200), "the envelope does not open"),
    "a changed content": (lambda lab, owner, middle: flipped(middle, -40), "not the one that the package's signer committed to"),
    "a changed padding": (lambda lab, owner, middle: flipped(middle, -17), "the envelope does not open"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_lie_are_refused(lab, owner, package, middle, name):
    if not middle.envelopes:
        check_it_runs(lab, package)
    make, reason = ANSWERS[name]
    middle.answer = make(lab, owner, middle)
    check_refused(lab, package, reason)


def test_after_all_of_them_the_honest_answer_runs(lab, package, middle):
    check_it_runs(lab, package)


# --- replays, and the host by itself ----------------------------------------------------------------------------------


def decrypt_members(owner, **more):
    context = owner.context()
    return {"KeyId": owner.arn, "CiphertextBlob": base64.b64encode(owner.data_key(context).wrapped).decode(), "EncryptionContext": context} | more


def recipient(document):
    return {"Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document}}


def test_a_replayed_document_gives_the_host_nothing(lab, owner, package, middle):
    """It holds the rights to Decrypt and a genuine document that is minutes old: KMS answers, in an envelope for a key that is gone."""
    check_it_runs(lab, package)
    host, document, envelope = lab.environment("user"), middle.documents[-1], middle.envelopes[-1]
    answer = middle.ask(host, "Decrypt", decrypt_members(owner, **recipient(document)))
    members = json.loads(answer.body)
    assert answer.status == 200 and "Plaintext" not in members and members["CiphertextForRecipient"] != envelope
    changed(middle, CiphertextForRecipient=members["CiphertextForRecipient"])
    check_refused(lab, package, "the envelope does not open")


def test_the_host_alone_is_denied(lab, owner, package, middle):
    answer = middle.ask(lab.environment("user"), "Decrypt", decrypt_members(owner))
    assert (answer.status, json.loads(answer.body)["__type"]) == (400, "AccessDeniedException")


def test_documents_for_recipients_are_made_once_each(lab, package, middle):
    seen = len(middle.documents)
    for _ in range(3):
        check_it_runs(lab, package)
    made = middle.documents[seen:]
    keys = {forge.cbor2.loads(forge.cbor2.loads(base64.b64decode(document))[2])["public_key"] for document in made}
    assert len(made) == len(keys) == 3


# --- another enclave of the same image, which runs the attacker's application -----------------------------------------


@pytest.fixture(scope="module")
def second_enclave(lab):
    lab.up("second")
    folder = lab.sync("theirs", "second")
    yield folder
    lab.down("second")


def run_second(lab, folder, package):
    (folder / "encrypted/theirs.cloister").write_bytes(package)
    return lab.run("user", "run", "--name", "second", "theirs.cloister", "app.py")


def stolen(owner, **changes):
    """The owner's wrapped key, commitment and content below a header that the rival signed."""
    parts = owner.parts(compress(tar(APP)))
    return b"".join([forge.prefix(owner.header(signer=RIVAL, key=owner.data_key(owner.context()), **changes)), *parts[1:]])


def test_a_second_enclave_does_not_open_the_key_for_another_application(lab, owner, package, second_enclave, middle):
    assert run_second(lab, second_enclave, package).returncode == 0
    done = run_second(lab, second_enclave, stolen(owner))
    assert done.returncode == 125 and "InvalidCiphertextException" in done.stderr, done.stderr


def test_not_even_with_the_owners_context_in_the_request(lab, owner, second_enclave, middle):
    """The middle asks anew for the enclave, with the host's credentials and the context under which the owner's key was made. KMS seals the
    key for the enclave, whose package commits to it, too; what it opens was sealed below another header."""
    route(lab, middle.url, "second")
    host = lab.environment("user")
    asked = []

    def answer(heard):
        asked.append(heard.members["EncryptionContext"])
        return middle.ask(host, "Decrypt", heard.members | {"EncryptionContext": owner.context()})

    middle.answer = answer
    done = run_second(lab, second_enclave, stolen(owner))
    assert asked == [owner.context(signer=RIVAL)]
    assert done.returncode == 125 and "segment 0 is damaged" in done.stderr, done.stderr


# --- who answers ------------------------------------------------------------------------------------------------------


def self_made(directory, name):
    """A certificate for KMS's name by an authority of one's own."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def elsewhere(lab, wire_tap):
    """Routes the enclave's proxy to another server for one test."""
    servers = []

    def go(server):
        servers.append(server)
        server.answer = lambda heard: refusal(500, "KMSInternalException", "it got this far")
        route(lab, server.url)
        return server

    yield go
    for server in servers:
        server.close()
    route(lab, wire_tap.url)


def test_a_certificate_that_the_trust_file_does_not_know_is_refused(lab, package, elsewhere):
    elsewhere(FakeKms(lab, self_made(lab.root, "kms.us-east-1.cloister.test")))
    check_refused(lab, package, "certificate")


def test_endpoints_that_the_trust_file_does_not_list_are_not_asked(lab, owner, package, middle):
    """Which of KMS's names is asked the caller may choose, among those that are measured."""
    (lab.folder / "encrypted/forged.cloister").write_bytes(package)
    env = lab.environment("user") | {"AWS_USE_FIPS_ENDPOINT": "true"}
    done = subprocess.run([lab.cloister, "run", "forged.cloister", "app.py"], env=env, cwd=lab.root / "user", capture_output=True, text=True, timeout=50)
    assert done.returncode == 125 and middle.asked == 0
    assert "this enclave trusts no fips KMS endpoint for keys of partition 'aws'" in done.stderr
    assert "AWS_USE_FIPS_ENDPOINT" in done.stderr.splitlines()[1]


# --- time -------------------------------------------------------------------------------------------------------------


def dated(heard):
    return datetime.datetime.strptime(heard.fields["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)


def test_a_clock_that_is_off_is_told_and_the_request_dated_anew(lab, package, middle):
    heard = []

    def answer(request):
        heard.append(request)
        if len(heard) > 1:
            return middle.relay(request)
        theirs = email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) + SKEW, usegmt=True)
        said = refusal(400, "InvalidSignatureException", "Signature expired: it is later here")
        return Reply(said.status, said.body, (("Date", theirs),))

    middle.answer = answer
    done = check_it_runs(lab, package)
    assert len(heard) == 2 and abs(dated(heard[1]) - dated(heard[0]) - SKEW) < datetime.timedelta(seconds=30)
    told = re.search(r"^cloister: in the enclave: the clock is (\d+) s behind that of KMS", done.stderr, re.M)
    # A translated machine's clock falls behind by itself where processors are busy.
    assert told and 268 <= int(told[1]) <= (330 if lab.image else 271), done.stderr


def test_a_signature_that_stays_wrong_is_tried_twice_at_most(lab, package, middle):
    def answer(_request):
        theirs = email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) + 4 * SKEW, usegmt=True)
        said = refusal(400, "InvalidSignatureException", "The request signature we calculated does not match")
        return Reply(said.status, said.body, (("Date", theirs),))

    middle.answer = answer
    check_refused(lab, package, "InvalidSignatureException")
    assert middle.asked == 2


def test_what_passes_by_itself_is_waited_for(lab, package, middle):
    """Throttling and faults on KMS's side, three times, each after a longer wait."""
    at = []

    def answer(heard):
        at.append(time.monotonic())
        said = {1: refusal(400, "ThrottlingException", "Rate exceeded"), 2: refusal(503, "KMSInternalException", ""),
                3: Reply(502, b"<html>Bad Gateway</html>")}
        return said[len(at)] if len(at) in said else middle.relay(heard)

    middle.answer = answer
    check_it_runs(lab, package)
    assert len(at) == 4
