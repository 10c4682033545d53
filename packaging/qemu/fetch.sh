#!/bin/bash
# Unpacks what `cloister up --backend qemu` needs into a folder of its own: QEMU 11 or newer, whose
# vhost-user-test-device carries our security module, and vhost-device-vsock. Debian 12 has neither. Nothing is installed:
# packages are taken from Debian with its signatures checked, unpacked, and run with the C library they were built for.
# An installation has it as cloister-fetch-qemu.
#   fetch.sh [DIRECTORY]        default: /usr/local/lib/cloister/qemu
# CLOISTER_QEMU=DIRECTORY tells `cloister` where it is.
set -euo pipefail

target=$(realpath -m "${1:-/usr/local/lib/cloister/qemu}")
readonly mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg
readonly suites=(trixie trixie-backports testing)
readonly version=1 # of what this script makes

die() {
  printf 'fetch.sh: %s\n' "$1" >&2
  if [[ -n ${2:-} ]]; then printf 'hint: %s\n' "$2" >&2; fi
  exit 1
}

if [[ $(cat "$target/.complete" 2>/dev/null) == "$version" ]]; then
  exit 0
fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "there is no apt-get here" \
  "have qemu-system-x86_64 (11 or newer) and vhost-device-vsock on the PATH instead"
[[ $(dpkg --print-architecture) == amd64 ]] || die "only amd64 machines are supported"
[[ -r $keyring ]] || die "no $keyring" "apt-get install debian-archive-keyring"

work=$(mktemp -d)
chmod 755 "$work" # apt downloads as a user of its own, if it can look in here
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial}
: >"$work/status"
for suite in "${suites[@]}"; do
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite"
done >"$work/sources.list"
# The machine's own lists, packages and pins are neither read nor changed. An empty status file makes every
# dependency, the C library included, part of the answer.
cat >"$work/apt.conf" <<CONF
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "$work/preferences";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$work/lists";
Dir::State::Status "$work/status";
Dir::Cache "$work/cache";
APT::Install-Recommends "false";
Acquire::Languages "none";
CONF
# QEMU from the stable release's backports; of testing only what no stable release has.
cat >"$work/preferences" <<'PINS'
Package: *
Pin: release n=trixie
Pin-Priority: 900

Package: qemu-system-x86 qemu-system-common qemu-system-data qemu-system-xen seabios ipxe-qemu
Pin: release n=trixie-backports
Pin-Priority: 950

Package: *
Pin: release a=testing
Pin-Priority: 100
PINS
export APT_CONFIG=$work/apt.conf
apt-get update -qq || die "Debian's package lists could not be fetched from $mirror"
apt-get install -y -qq --download-only -o Debug::NoLocking=true qemu-system-x86 vhost-device-vsock \
  >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; die "the packages could not be fetched"; }

staging=$target.partial.$$
rm -rf "$staging"
mkdir -p "$staging/root" "$staging/bin"
for package in "$work"/cache/archives/*.deb; do
  dpkg-deb -x "$package" "$staging/root"
done
rm -rf "$staging"/root/usr/share/{doc,man,locale,i18n,info,lintian,bug}

# Each program runs by the loader that it came with.
for program in qemu-system-x86_64 vhost-device-vsock; do
  extra=
  [[ $program == qemu-system-x86_64 ]] && extra='-L "$root/usr/share/qemu" -L "$root/usr/share/seabios"'
  cat >"$staging/bin/$program" <<WRAPPER
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")/root
exec "\$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --argv0 $program --library-path \
  "\$root/usr/lib/x86_64-linux-gnu:\$root/lib/x86_64-linux-gnu" "\$root/usr/bin/$program" $extra "\$@"
WRAPPER
  chmod 755 "$staging/bin/$program"
done
"$staging/bin/qemu-system-x86_64" -device help 2>/dev/null | grep -q '"vhost-user-test-device"' ||
  die "the QEMU that was fetched has no vhost-user-test-device"
printf '%s\n' "$version" >"$staging/.complete"
rm -rf "$target"
mv "$staging" "$target"
