"""The control surface: docs/openapi.yaml against a running enclave, its metrics, and `cloister status`."""

import json
import re
import socket

import pytest

import lab as laboratory
import wire

yaml = pytest.importorskip("yaml", reason="SKIP: python3-yaml is not installed")

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")
ABSENT = "0123456789abcdef"


@pytest.fixture(scope="module")
def lab(lab, repository):
    lab.share_victims(repository)
    lab.control = lab.socket_of("control")
    lab.identity = wire.Identity(lab.root, "the-user", lab.root / "user/cloister/client-key.pem")
    return lab


def run_probe(lab, *words):
    return lab.run("user", "run", "probe.cloister", *words)


# --- docs/openapi.yaml --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(repository):
    return yaml.safe_load((repository / "docs/openapi.yaml").read_text())


def operations(api):
    return {(method.upper(), path): facts for path, item in api["paths"].items() for method, facts in item.items()
            if method.upper() in METHODS}


def resolve(api, node):
    """References followed; what stands beside one is a description."""
    while "$ref" in node:
        at, path = api, node["$ref"].removeprefix("#/").split("/")
        for name in path:
            at = at[name]
        node = at
    return node


KINDS = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


def check(api, schema, value, where="$"):
    """The part of JSON Schema that the file uses; an unknown keyword is an error, so that nothing goes unchecked."""
    schema = resolve(api, schema)
    known = {"type", "enum", "pattern", "required", "properties", "additionalProperties", "items", "minItems", "maxItems", "minimum",
             "maximum", "maxLength", "description", "contentEncoding"}
    assert set(schema) <= known, (where, set(schema) - known)
    assert isinstance(value, KINDS[schema["type"]]) and isinstance(value, bool) == (schema["type"] == "boolean"), (where, value)
    assert value in schema.get("enum", [value]), (where, value)
    if isinstance(value, str):
        assert re.search(schema.get("pattern", ""), value) and len(value) <= schema.get("maxLength", len(value)), (where, value)
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), (where, value)
        for number, item in enumerate(value):
            check(api, schema["items"], item, f"{where}[{number}]")
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= set(value), (where, value)
        assert schema["additionalProperties"] is False and set(value) <= set(schema["properties"]), (where, value)
        for name, item in value.items():
            check(api, schema["properties"][name], item, f"{where}.{name}")
    if isinstance(value, int):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), (where, value)


def check_answer(api, method, path, answer):
    responses = operations(api)[method, path]["responses"]
    assert str(answer.status) in responses, (method, path, answer)
    (kind, content), = resolve(api, responses[str(answer.status)])["content"].items()
    assert answer.fields["content-type"].split(";")[0] == kind, (method, path, answer)
    if kind == "application/json":
        check(api, content["schema"], answer.json())
    if kind == "application/x-ndjson":
        for line in answer.body.splitlines():
            check(api, content["schema"], json.loads(line))


def test_every_documented_request_is_answered_as_documented(lab, api):
    with wire.Wire(lab.control, lab.identity, attest=False) as first:
        check_answer(api, "GET", "/v1/attestation", first.attest())
        job = first.ask("POST", "/v1/jobs", wire.job_order(lab))
        check_answer(api, "POST", "/v1/jobs", job)
        id = job.json()["id"]
        events = wire.follow(first, id)
        assert events[-1] == {"event": "exit", "exit_code": 0}
        failing = first.ask("POST", "/v1/jobs", wire.job_order(lab, entry="missing.py")).json()["id"]
        assert wire.follow(first, failing)[-1]["error"]["exit_code"] == 127
        asked = {("GET", "/v1/attestation"), ("POST", "/v1/jobs")}
        for method, path, body in [("GET", "/v1/info", None), ("GET", "/v1/metrics", None), ("POST", "/v1/share", {"lanes": 8}),
                                   ("GET", "/v1/jobs", None), ("GET", "/v1/jobs/{id}", None), ("DELETE", "/v1/jobs/{id}", None),
                                   ("GET", "/v1/jobs/{id}/events", None)]:
            asked.add((method, path))
            for which in {id, failing} if "{id}" in path else {""}:
                answer = first.ask(method, path.replace("{id}", which), body)
                assert answer.status == 200, (method, path, answer)
                check_answer(api, method, path, answer)
            if "{id}" in path:
                answer = first.ask(method, path.replace("{id}", ABSENT), body)
                assert answer.error() == (404, "not_found", "no such job")
                check_answer(api, method, path, answer)
        assert asked == set(operations(api))
        assert first.ask("GET", "/v1/info").json()["client"] == lab.identity.fingerprint()


def test_other_methods_and_paths_do_not_exist(lab, api):
    with wire.Wire(lab.control, lab.identity) as one:
        for path in api["paths"]:
            for method in METHODS:
                if (method, path) in operations(api):
                    continue
                answer = one.ask(method, path.replace("{id}", ABSENT))
                assert answer.status == 400, (method, path, answer)
                if method != "HEAD":
                    assert answer.error() == (400, "invalid", f"{method} is not for this resource")
        for path in ("/", "/v1", "/v1/", "/v1/jobs/", "/v1/info/", "/v2/info", "/V1/info", "//v1/info", "/v1/./info", "/v1/%69nfo", f"/v1/jobs/{ABSENT}/",
                     f"/v1/jobs/{ABSENT}/events/", f"/v1/jobs/{ABSENT}/log", "/v1/jobs//events", "/v1/console", "/metrics", "/debug"):
            for method in ("GET", "POST", "DELETE"):
                assert one.ask(method, path).error() == (404, "not_found", "no such resource"), (method, path)
        for id in ("0", ABSENT[:-1], ABSENT + "0", "-" + ABSENT[1:], "0x" + ABSENT[2:], "+" + ABSENT[1:], "zzzzzzzzzzzzzzzz", "events"):
            assert one.ask("GET", f"/v1/jobs/{id}").error() == (404, "not_found", "no such job"), id


def test_before_attestation_everything_is_refused_alike(lab, api):
    requests = [(method, path.replace("{id}", ABSENT)) for method, path in operations(api) if path != "/v1/attestation"]
    requests += [("GET", "/nothing"), ("POST", "/v1/info"), ("POST", "/v1/attestation"), ("HEAD", "/v1/attestation")]
    answers = set()
    for method, path in requests:
        with wire.Wire(lab.control, lab.identity, attest=False) as one:
            answer = one.ask(method, path, wire.job_order(lab) if (method, path) == ("POST", "/v1/jobs") else None)
            assert answer.status == 403, (method, path, answer)
            if method != "HEAD":
                answers.add(answer.raw)
    assert len(answers) == 1 and b"must be GET /v1/attestation" in answers.pop()
    for nonce in ("", "00", "0" * 63, "0" * 66, "z" * 64):
        with wire.Wire(lab.control, lab.identity, attest=False) as one:
            assert one.ask("GET", f"/v1/attestation?nonce={nonce}").status == 400, nonce
            assert one.ask("GET", "/v1/info").status == 403  # a failed attempt opens nothing


def test_a_job_order_has_the_documented_members_and_limits(lab, api):
    schema = api["components"]["schemas"]["JobOrder"]
    order = wire.job_order(lab, output="", share_output=True, allow_writes=["dataset"], diagnostics=False, grace=5,
                           use_fips_endpoint=False, use_dualstack_endpoint=False)
    check(api, schema, order)
    assert set(order) == set(schema["properties"])

    def long_by_one(limits):
        return "x" * (limits["maxLength"] + 1)

    credentials = api["components"]["schemas"]["Credentials"]["properties"]
    bad = {f"without {name}": {key: value for key, value in order.items() if key != name} for name in schema["required"]}
    bad |= {f"another type of {name}": order | {name: {"x": 1}} for name in schema["properties"]}
    bad |= {f"long {name}": order | {name: long_by_one(schema["properties"][name])} for name in ("package", "entry", "output")}
    bad |= {f"long {name}": order | {"credentials": order["credentials"] | {name: long_by_one(limits)}} for name, limits in credentials.items()}
    bad |= {"unknown member": order | {"mode": "production"}, "no object": [], "unknown credential": order | {"credentials": order["credentials"] | {"endpoint": "x"}},
            "many arguments": order | {"arguments": [""] * 1025}, "long arguments": order | {"arguments": ["x" * 32768]},
            "no signer": order | {"signers": []}, "many signers": order | {"signers": [lab.signer] * 33}, "odd signer": order | {"signers": ["00"]},
            "short grace": order | {"grace": 4}, "long grace": order | {"grace": 2592001}, "a path to write to": order | {"allow_writes": ["a/b"]},
            "much to write to": order | {"allow_writes": ["x" * 255] * 4 + ["x"]}, "twice": json.dumps(order)[:-1].encode() + b',"entry":"exit.py"}'}
    with wire.Wire(lab.control, lab.identity) as one:
        before = one.ask("GET", "/v1/jobs").body
        for name, body in bad.items():
            answer = one.ask("POST", "/v1/jobs", body)
            assert answer.error()[:2] == (400, "invalid"), (name, answer)
        assert one.ask("GET", "/v1/jobs").body == before
        for lanes in (0, 9, -1, 1.5, "1", None, True):
            assert one.ask("POST", "/v1/share", {"lanes": lanes}).error()[:2] == (400, "invalid"), lanes
        assert one.ask("POST", "/v1/share", {"lanes": 1, "client": "00"}).status == 400
    stranger = wire.Identity(lab.root, "no-share")
    with wire.Wire(lab.control, stranger) as one:
        answer = one.ask("POST", "/v1/jobs", order)
        assert answer.error()[:2] == (404, "not_found") and "no shared folder" in answer.error()[2]


# --- metrics ------------------------------------------------------------------------------------------------------

SAMPLE = re.compile(r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?P<labels>\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*\})? (?P<value>[0-9]+)')


def metrics_text(lab, identity=None):
    with wire.Wire(lab.control, identity or lab.identity) as one:
        answer = one.ask("GET", "/v1/metrics")
        assert answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.body.decode()


def metrics(lab):
    """{name and labels: value}; every line must be of the text format, every family whole and told what it is."""
    out, families, family = {}, {}, None
    for line in metrics_text(lab).splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in families and len(line.split()) > 3, line
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family, line
            families[family] = line.split()[3]
            assert (families[family] == "counter") == family.endswith("_total") and families[family] in ("counter", "gauge"), line
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and sample["name"] == family and sample["name"] in families, line
            out[sample["name"] + (sample["labels"] or "")] = int(sample["value"])
    return out


def test_metrics_move_and_never_go_back(lab):
    before = metrics(lab)
    info = 'cloister_build_info{version="0.1.0",mode="%s"}' % ("emulated" if lab.image else "simulated")
    assert [name for name in before if name.startswith("cloister_build_info")] == [info]
    assert run_probe(lab, "exit.py", "exit", "3").returncode == 3
    assert run_probe(lab, "missing.py").returncode == 127
    content = b"x" * 300_000
    (lab.folder / "dataset/big").write_bytes(content)
    running = lab.start("user", "run", "probe.cloister", "slow.py")
    assert running.stdout.readline() == b"started\n"
    during = metrics(lab)
    assert during["cloister_jobs_running"] == before["cloister_jobs_running"] + 1
    assert during["cloister_job_events_bytes"] > before["cloister_job_events_bytes"]
    laboratory.interrupt(running)
    assert running.wait(timeout=20) == 130
    with wire.connect(lab.socket_of("lanes")) as lane:
        lane.sendall(b"x" * 40)
        assert lane.recv(1) == b""
    garbage = wire.connect(lab.control)
    garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
    garbage.close()
    for name in ('cloister_connections_refused_total{reason="handshake"}', "cloister_lanes_refused_total"):
        laboratory.wait_for(lambda: metrics(lab)[name] == before[name] + 1)
    after = metrics(lab)
    moved = {"cloister_jobs_started_total": 3, 'cloister_jobs_ended_total{outcome="exited"}': 1,
             'cloister_jobs_ended_total{outcome="failed"}': 1, 'cloister_jobs_ended_total{outcome="cancelled"}': 1,
             "cloister_jobs_running": 0, "cloister_lanes_refused_total": 1, "cloister_share_clients": 0}
    assert {name: after[name] - before[name] for name in moved} == moved
    assert after["cloister_share_written_bytes_total"] - before["cloister_share_written_bytes_total"] == len(content)
    assert after["cloister_connections_accepted_total"] > before["cloister_connections_accepted_total"]
    assert after["cloister_share_requests_total"] > before["cloister_share_requests_total"]
    # A mount that ends takes no count with it.
    other = lab.sync("second")
    assert len((other / "dataset/big").read_bytes()) == len(content)
    assert metrics(lab)["cloister_share_mounts"] == after["cloister_share_mounts"] + 1
    lab.ok("user", "unsync", "-d", "second")
    laboratory.wait_for(lambda: metrics(lab)["cloister_share_mounts"] == after["cloister_share_mounts"])
    last = metrics(lab)
    assert last["cloister_share_read_bytes_total"] - after["cloister_share_read_bytes_total"] >= len(content)
    assert all(last[name] >= after[name] >= before[name] for name in last if "_total" in name)


def test_metrics_name_no_client_and_no_job(lab):
    assert run_probe(lab, "exit.py", "exit", "0").returncode == 0
    stranger = wire.Identity(lab.root, "onlooker")
    text = metrics_text(lab, stranger)
    ids = [line.split()[0] for line in lab.ok("user", "jobs").splitlines()]
    assert ids and not any(id in text for id in ids)
    for name in (lab.identity.fingerprint(), lab.identity.fingerprint()[:16], lab.signer, "probe", "acme", "exit.py", "dataset"):
        assert name not in text, name
    assert not re.search("[0-9a-f]{16}", text)


# --- status -------------------------------------------------------------------------------------------------------


def test_status_shows_what_there_is(lab):
    assert run_probe(lab, "exit.py", "exit", "4").returncode == 4
    (lab.folder / "dataset/seen").write_bytes(b"y" * 5000)
    running = lab.start("user", "run", "--share-output", "--", "probe.cloister", "slow.py")
    assert running.stdout.readline() == b"started\n"
    found = json.loads(lab.ok("user", "status", "--json"))
    shown = lab.ok("user", "status")
    laboratory.interrupt(running)
    assert running.wait(timeout=20) == 130
    (enclave,) = found["enclaves"]
    assert set(enclave) == {"name", "backend", "mode", "confidential", "running", "pcr0", "mounts", "proxy", "proxy_traffic", "jobs", "weaker"}
    assert (enclave["name"], enclave["backend"], enclave["mode"], enclave["confidential"], enclave["running"]) == (
        "default", *(("qemu", "emulated") if lab.image else ("process", "simulated")), False, True)
    assert enclave["pcr0"] == json.loads(lab.measure().read_text())["Measurements"]["PCR0"]
    assert enclave["proxy"] == ["kms.us-east-1.cloister.test:443"]
    (mount,) = enclave["mounts"]
    assert mount["directory"] == str(lab.folder) and mount["requests"] > 0 and mount["bytes_written"] >= 5000
    (job,) = enclave["jobs"]["running"]
    assert (job["entry"], job["state"], job["name"]) == ("slow.py", "running", "probe")
    last = enclave["jobs"]["last_ended"]
    assert (last["entry"], last["state"], last["exit_code"]) == ("exit.py", "exited", 4)
    assert found["signers"] == [{"name": "acme", "fingerprint": lab.signer}]
    weaker = [job["weaker"] for job in json.loads(lab.ok("user", "jobs", "--json"))["jobs"] if "weaker" in job]
    assert enclave["weaker"] == (weaker[0].split("; ") if weaker else [])
    for text in (f"{enclave['mode']}: NOT confidential", f"backend  {enclave['backend']}", enclave["pcr0"], "kms.us-east-1.cloister.test:443", str(lab.folder),
                 "acme", lab.signer, "slow.py", "exited (4)", *enclave["weaker"]):
        assert text in shown, (text, shown)


def test_status_counts_what_the_folder_carries(lab):
    def mount():
        return json.loads(lab.ok("user", "status", "--json"))["enclaves"][0]["mounts"][0]

    before = mount()
    (lab.folder / "dataset/counted").write_bytes(b"z" * 123_456)
    after = mount()
    assert after["bytes_written"] - before["bytes_written"] == 123_456
    assert after["requests"] > before["requests"]


def test_status_of_a_stranger_makes_no_key_and_shows_no_jobs(lab):
    found = json.loads(lab.ok("stranger", "status", "--json"))
    assert found["signers"] == [] and found["enclaves"][0]["jobs"] == {"running": [], "last_ended": None}
    assert found["enclaves"][0]["weaker"] is None
    assert not (lab.root / "stranger/cloister/client-key.pem").exists()


def test_status_says_why_an_enclave_tells_nothing(lab):
    record = lab.root / "run/default/enclave.json"
    before = record.read_text()
    try:
        record.write_text(json.dumps(json.loads(before) | {"control": f"unix://{lab.root}/nobody.sock"}))
        (enclave,) = json.loads(lab.ok("user", "status", "--json"))["enclaves"]
    finally:
        record.write_text(before)
    assert enclave["jobs"] is None and enclave["weaker"] is None and "no enclave" in enclave["problem"]


def test_run_v_says_which_walls_are_weaker(lab):
    done = lab.run("user", "run", "-v", "--", "probe.cloister", "exit.py", "exit", "0")
    assert done.returncode == 0 and "cloister: running probe 1" in done.stderr
    newest = json.loads(lab.ok("user", "jobs", "--json"))["jobs"][0]
    assert (f"cloister: weaker here: {newest['weaker']}" in done.stderr) if "weaker" in newest else ("weaker" not in done.stderr)
    quiet = run_probe(lab, "exit.py", "exit", "0")
    assert "weaker" not in quiet.stderr
