#!/bin/bash
# The demo: an owner encrypts the OCR sample, a user runs it on their own pages, and what must not work does not.
# Run it with ./dev demo, which builds first. Every command is shown before it runs, under the name of who types it.
set -euo pipefail

samples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${CLOISTER_BUILD:-$samples/../build/release}
bin=$build/bin
secret=owner-secret-7c1e5a # a word of the owner's script; the user must never meet it
entry=ml_inference.py
arguments="-m model/eng.traineddata -d /dataset/ -o /output/"

work=$(mktemp -d /tmp/cloister-demo.XXXXXX) # short: unix sockets live below
machine=$work/machine                       # what belongs to the machine: running enclaves, development root
port=${CLOISTER_DEMO_PORT:-8480}
host_role=arn:aws:iam::111122223333:role/enclave-host # whom the embedded key service takes for the user
kms=$work/kms                               # the embedded key service, in place of AWS KMS
owner=$work/owner
user=$work/user
share=$user/shared
keep=$samples/../build/demo # the results, for you to look at

if [[ -t 1 ]]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi

scene() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s   %s%s\n' "$dim" "$*" "$plain"; }
die() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

# --- who types ------------------------------------------------------------------------------------------------

# A command as a person would type it: quotes only where a shell needs them, home directories as ~.
typed() {
  local word text=
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=,@%+~-]+$ ]]; then text+=" $word"; else text+=" '${word//\'/\'\\\'\'}'"; fi
  done
  printf '%s' "${text# }"
}

show() {
  local who=$1 text
  shift
  text=$(typed "$@")
  text=${text//"$work/$who"/\~}
  printf '%s%s$%s %s\n' "$bold" "$who" "$plain" "${text//"$work/"/../}"
}

# Owner and user share nothing but the machine: each has a home, and credentials, of their own.
quietly_as() {
  local who=$1
  shift
  (
    local credentials=$kms/$who.env
    cd "$work/$who"
    # shellcheck disable=SC1090
    if [[ -f $credentials ]]; then set -a && source "$credentials" && set +a; fi
    exec env HOME="$work/$who" PATH="$bin:/usr/bin:/bin" CLOISTER_STATE="$machine/state" \
      CLOISTER_RUN="$machine/run" CLOISTER_HOME="$work/$who/.cloister" "$@"
  )
}
as() {
  show "$@"
  quietly_as "$@"
}

# A command that must fail: with this exit code, for this reason, and without a word of the owner's script.
refused=0
must_fail() {
  local codes=$1 reason=$2 who=$3 code=0 said
  shift 3
  show "$who" "$@"
  said=$(quietly_as "$who" "$@" 2>&1) || code=$?
  if [[ -n $said ]]; then printf '%s\n' "$said"; fi
  if [[ $said == *"$secret"* ]]; then die "the owner's script was shown to the $who"; fi
  if [[ ! " ${codes//,/ } " == *" $code "* ]]; then die "expected exit code $codes, got $code"; fi
  if [[ $said != *"$reason"* ]]; then die "expected to read: $reason"; fi
  note "refused, exit code $code"
  refused=$((refused + 1))
}

# --- the scenes -----------------------------------------------------------------------------------------------

key_service() {
  scene "The key service: an embedded one in place of AWS KMS"
  as owner cloister kms init --dir "$kms" --port "$port"
  as owner cloister kms serve --dir "$kms" --development-root "$machine/state/development-root/root.pem" --detach
}

owner() {
  scene "The owner: encrypts a script and a model, and says which enclave may open them"
  "$samples/ocr/prepare" "$work/pages" | sed 's/^/   /'
  cp -r "$samples/ocr/app" "$owner/app"
  show owner cloister key create --alias ocr
  key=$(quietly_as owner cloister key create --alias ocr)
  printf '%s\n' "$key"
  show owner cloister encrypt -d app -k "$key" --name ocr --release 1.0 -o ocr.cloister
  signer=$(quietly_as owner cloister encrypt -d app -k "$key" --name ocr --release 1.0 -o ocr.cloister)
  printf '%s\n' "$signer"
  signer=${signer#signer }
  as owner cloister image measure --simulated -o measurements.json
  as owner cloister key allow -k "$key" --image measurements.json --release 1.0 --principal "$host_role"
  as owner cloister key show -k "$key"
  note "the owner publishes two files, ocr.cloister and measurements.json, and tells their fingerprint by another way"
  cp "$owner/ocr.cloister" "$owner/measurements.json" "$user/"
}

user() {
  scene "The user: starts an enclave, shares a folder with it, runs the application on their own pages"
  note "before the user has said whom they trust"
  must_fail 1 "unknown signer" user cloister inspect ocr.cloister
  as user cloister signer add acme "$signer"
  as user cloister inspect ocr.cloister
  as user cloister up
  as user cloister verify --image measurements.json
  as user cloister proxy -s kms
  as user cloister sync -d shared
  as user cat shared/from_server.txt
  as user cp ocr.cloister shared/encrypted/
  quietly_as user sh -c "cp '$work'/pages/* shared/dataset/"
  as user ls shared/dataset
  as user cloister run -f ocr.cloister -s "$entry" -a "$arguments" --image measurements.json
  as user ls shared/output
  rm -rf "$keep" && mkdir -p "$keep"
  cp "$share"/output/* "$keep/"
  local first=page
  [[ -f $share/output/page.txt ]] || first=letter
  as user head -n 6 "shared/output/$first.txt"
  /usr/bin/python3 -I "$samples/ocr/check_output.py" "$keep" || die "the pages were not recognised"
}

# What the host could do without an enclave: take the wrapped key and the encryption context from the package, and ask KMS itself.
decrypt_by_hand='import base64, json, os, subprocess, sys, boto3
header = json.loads(subprocess.run(["cloister", "inspect", "--json", sys.argv[1]], capture_output=True).stdout)
wrapped = subprocess.run(["cloister", "inspect", "--wrapped-key", sys.argv[1]], capture_output=True).stdout
try:
    boto3.client("kms", endpoint_url=os.environ["AWS_ENDPOINT_URL_KMS"]).decrypt(CiphertextBlob=base64.b64decode(wrapped), KeyId=header["key"],
                                EncryptionContext=header["encryption_context"])
except Exception as error:
    sys.exit(str(error))'

# An enclave whose host has changed the supervisor: a copy of the programs with one byte more.
tampered_enclave() {
  cp -r "$bin" "$work/tampered"
  printf 'x' >>"$work/tampered/cloisterd-sim"
  as user ../tampered/cloister up --name tampered
  as user cloister proxy -s kms --name tampered
  as user cloister sync -d shared2 --name tampered
  as user cp ocr.cloister shared2/encrypted/
  quietly_as user sh -c "cp '$work'/pages/* shared2/dataset/"
}

proofs() {
  scene "What must not work"
  note "the host asks KMS for the data key itself: the key's policy denies everyone without attestation"
  printf '%s\n' "$decrypt_by_hand" >"$user/decrypt_by_hand.py"
  must_fail 1 "explicit deny" user /usr/bin/python3 decrypt_by_hand.py ocr.cloister

  note "an enclave with another measurement: the same policy denies it"
  tampered_enclave
  must_fail 125 "explicit deny" user cloister run -f ocr.cloister -s "$entry" -a "$arguments" --name tampered
  note "and a user who demands the published measurement does not even talk to it"
  must_fail 125 "PCR0" user cloister run -f ocr.cloister -s "$entry" -a "$arguments" --name tampered --image measurements.json
  quietly_as user cloister down --name tampered

  note "a package of a signer that the user does not know"
  must_fail 125 "unknown signer" user cloister run -f ocr.cloister -s "$entry" --signer "$(printf '0%.0s' {1..64})"

  note "a flag for the interpreter in place of the owner's script; a script of the user's beside the plaintext"
  must_fail 126 "not an entry point" user cloister run -f ocr.cloister "--script=-c" -a "print(open('$entry').read())"
  printf 'print(open("%s").read())\n' "$entry" >"$share/dataset/mine.py"
  must_fail 126 "not an entry point" user cloister run -f ocr.cloister -s /dataset/mine.py

  note "a traceback would quote the script: the user gets the exit code only"
  must_fail 2 "exit code 2" user cloister run -f ocr.cloister -s "$entry" -a "--no-such-option"

  note "one flipped byte of the package"
  flip_byte "$user/ocr.cloister" "$share/encrypted/flipped.cloister"
  must_fail 125 "damaged" user cloister run -f flipped.cloister -s "$entry" -a "$arguments"

  note "after the owner has revoked"
  as owner cloister key revoke -k "$key" --image measurements.json
  must_fail 125 "explicit deny" user cloister run -f ocr.cloister -s "$entry" -a "$arguments"
  printf '\n%d attempts, all refused. Simulated enclaves are not confidential: their host can read them.\n' "$refused"
}

# The byte in the middle, inverted.
flip_byte() {
  local at byte
  at=$(($(stat -c %s "$1") / 2))
  byte=$(od -An -tu1 -j "$at" -N 1 "$1" | tr -d ' ')
  cp "$1" "$2"
  # shellcheck disable=SC2059
  printf "\\x$(printf %02x $((byte ^ 255)))" | dd of="$2" bs=1 seek="$at" conv=notrunc status=none
}

tidy_up() {
  local code=$?
  trap - EXIT
  scene "Cleaning up"
  quietly_as user cloister down --force --name tampered 2>/dev/null || true
  quietly_as user cloister down --force 2>/dev/null || true
  quietly_as owner cloister kms stop --dir "$kms" 2>/dev/null || true
  if mountpoint -q "$share"; then
    printf 'demo: %s is still mounted and was left\n' "$share" >&2
  else
    rm -rf "$work"
  fi
  if ((code == 0)); then printf 'The results are in build/demo/.\n'; fi
  exit "$code"
}

main() {
  [[ -x $bin/cloister ]] || die "no $bin/cloister: run ./dev demo"
  trap tidy_up EXIT
  mkdir -p "$owner" "$user" "$machine/state" "$machine/run"
  key_service
  owner
  user
  proofs
}

main
