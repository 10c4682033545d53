#!/bin/bash
# The demo: an owner encrypts the OCR sample, a user runs it on their own pages, and what must not work does not.
# Run it with ./dev demo, which builds first. Every command is shown before it runs, under the name of who types it.
set -euo pipefail

samples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${CLOISTER_BUILD:-$samples/../build/release}
bin=$build/apps
secret=owner-secret-7c1e5a # a word of the owner's script; the user must never meet it
entry=ml_inference.py
arguments="-m model/eng.traineddata -d /dataset/ -o /output/"

work=$(mktemp -d /tmp/cloister-demo.XXXXXX) # short: unix sockets live below
machine=$work/machine                       # what belongs to the machine: running enclaves, development root
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

# A command that must fail: with one of these exit codes, without a word of the owner's script.
refused=0
must_fail() {
  local codes=$1 who=$2 code=0 said
  shift 2
  show "$who" "$@"
  said=$(quietly_as "$who" "$@" 2>&1) || code=$?
  if [[ -n $said ]]; then printf '%s\n' "$said"; fi
  if [[ $said == *"$secret"* ]]; then die "the owner's script was shown to the $who"; fi
  if [[ ! " ${codes//,/ } " == *" $code "* ]]; then die "expected exit code $codes, got $code"; fi
  note "refused, exit code $code"
  refused=$((refused + 1))
}

# --- the scenes -----------------------------------------------------------------------------------------------

key_service() {
  scene "The key service: an embedded one in place of AWS KMS"
  as owner cloister-kms init --dir "$kms"
  as owner cloister-kms serve --dir "$kms" --development-root "$machine/state/development-root/root.pem" --detach
}

owner() {
  scene "The owner: encrypts a script and a model, and says which enclave may open them"
  "$samples/ocr/prepare" "$work/pages" | sed 's/^/   /'
  cp -r "$samples/ocr/app" "$owner/app"
  as owner cloister key create --json >"$work/key.json"
  tail -n +1 "$work/key.json"
  key=$(sed -n 's/.*"arn" *: *"\([^"]*\)".*/\1/p' "$work/key.json" | head -n 1)
  [[ -n $key ]] || die "no key ARN in the answer of key create"
  as owner cloister encrypt -d app -k "$key" --name ocr --release 1 -o ocr.cloister
  as owner cloister image measure --backend process -o measurements.json
  as owner cloister key allow "$key" --image measurements.json --package ocr.cloister
  note "the owner publishes two files: ocr.cloister and measurements.json"
  cp "$owner/ocr.cloister" "$owner/measurements.json" "$user/"
}

user() {
  scene "The user: starts an enclave, shares a folder with it, runs the application on their own pages"
  as user cloister doctor || note "doctor found something; going on"
  as user cloister inspect ocr.cloister
  signer=$(quietly_as user cloister inspect --json ocr.cloister | sed -n 's/.*"signer" *: *"\([^"]*\)".*/\1/p' | head -n 1)
  as user cloister signer add "$signer"
  as user cloister up
  as user cloister verify --image measurements.json
  as user cloister proxy -s kms
  mkdir -p "$share"
  as user cloister sync -d shared
  as user mkdir shared/encrypted shared/dataset shared/output
  as user cp ocr.cloister shared/encrypted/
  quietly_as user sh -c "cp '$work'/pages/* shared/dataset/"
  as user ls shared/dataset
  as user cloister run -f ocr.cloister -s "$entry" -a "$arguments" --image measurements.json
  as user ls shared/output
  rm -rf "$keep" && mkdir -p "$keep"
  cp "$share"/output/* "$keep/"
  show user head -n 8 shared/output/page.txt
  head -n 8 "$share/output/$(if [[ -f $share/output/page.txt ]]; then echo page; else echo letter; fi).txt"
  /usr/bin/python3 -I "$samples/ocr/check_output.py" "$keep" || die "the pages were not recognised"
}

proofs() {
  scene "What must not work"
  note "a flag for the interpreter in place of the owner's script"
  must_fail 2,125,126,127 user cloister run -f ocr.cloister "--script=-c" -a "print(open('$entry').read())"

  note "a script that the user wrote, beside the plaintext"
  printf 'print(open("%s").read())\n' "$entry" >"$share/dataset/mine.py"
  must_fail 125,126,127 user cloister run -f ocr.cloister -s /dataset/mine.py
  must_fail 125,126,127 user cloister run -f ocr.cloister -s ../dataset/mine.py

  note "a file of the package that is not an entry point"
  must_fail 126 user cloister run -f ocr.cloister -s model/eng.traineddata

  note "a traceback would quote the script: the user gets the exit code only"
  must_fail 1,2 user cloister run -f ocr.cloister -s "$entry" -a "--no-such-option"

  note "one flipped byte of the package"
  flip_byte "$user/ocr.cloister" "$share/encrypted/flipped.cloister"
  must_fail 125 user cloister run -f flipped.cloister -s "$entry" -a "$arguments"

  note "a user who has not said whom they trust"
  mkdir -p "$work/stranger"
  must_fail 125 user env CLOISTER_HOME="$work/stranger" cloister run -f ocr.cloister -s "$entry" -a "$arguments"

  note "the script in the shared folder, its encrypted form included"
  must_fail 1 user grep -r "$secret" shared

  note "after the owner has revoked"
  as owner cloister key revoke "$key" --image measurements.json
  must_fail 125 user cloister run -f ocr.cloister -s "$entry" -a "$arguments"
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
  quietly_as user cloister unsync -d shared 2>/dev/null || true
  quietly_as user cloister proxy --stop 2>/dev/null || true
  quietly_as user cloister down 2>/dev/null || true
  quietly_as owner cloister-kms stop --dir "$kms" 2>/dev/null || true
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
