#!/bin/bash
# Makes the application's directory DIR: the script, the manifest, and in vendor/ the wheels of requirements.txt with
# the networks in them. What comes out is encrypted as a whole; nothing is fetched when it runs.
#
#   samples/onnx/prepare.sh DIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ $# != 1 || $1 == -* ]]; then
  printf 'usage: samples/onnx/prepare.sh DIR\n' >&2
  exit 2
fi
target=$1
if [[ -e $target/vendor ]]; then
  printf 'prepare.sh: %s has a vendor/ already\n' "$target" >&2
  exit 1
fi
if ! /usr/bin/python3 -m pip --version >/dev/null 2>&1; then
  printf '%s\n' "prepare.sh: no pip for /usr/bin/python3" "hint: apt-get install python3-pip" >&2
  exit 1
fi
mkdir -p "$target"
cp -r "$here/app/." "$target/"
# Wheels only: nothing is built here, and no package's own code runs.
/usr/bin/python3 -m pip install -q --disable-pip-version-check --no-input --retries 1 --timeout 20 --root-user-action=ignore \
  --only-binary :all: --no-deps --target "$target/vendor" -r "$here/requirements.txt"
printf '%s: %s, of which the networks are %s\n' "$target" "$(du -sh "$target" | cut -f1)" \
  "$(du -sh "$target/vendor/rapidocr_onnxruntime/models" | cut -f1)"
