#!/bin/bash
# Compiles the enclave's kernel from Debian's source package: kernel/build.sh ARCH OUTPUT_DIR [CACHE_DIR]
#   ARCH        x86_64 or arm64
#   OUTPUT_DIR  receives the kernel (bzImage or Image) and its configuration (config)
#   CACHE_DIR   downloads and finished kernels; default ${XDG_CACHE_HOME:-~/.cache}/cloister/kernel
# The same configuration, source version and compiler give the same bytes in every folder, on every day.
#
# environment
#   CLOISTER_DEBIAN_MIRROR    default http://deb.debian.org/debian; a snapshot holds versions that the mirrors dropped:
#                             http://snapshot.debian.org/archive/debian/20260715T000000Z
#   CLOISTER_KERNEL_VERSION   another version of the source package than kernel/source names
#   CLOISTER_KERNEL_SOURCE    a source package (.deb) at hand: nothing is fetched, and you answer for where it came from
#   CLOISTER_JOBS             compiler processes at once (default: processors)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=${CLOISTER_DEBIAN_MIRROR:-http://deb.debian.org/debian}
# Part of the cache's key: raise it when this script compiles in another way than before.
readonly generation=1

die() {
  printf 'kernel: %s\n' "$1" >&2
  if [[ -n ${2:-} ]]; then printf 'hint: %s\n' "$2" >&2; fi
  exit 1
}
say() { printf 'kernel: %s\n' "$*" >&2; }

(($# == 2 || $# == 3)) || die "usage: kernel/build.sh ARCH OUTPUT_DIR [CACHE_DIR]"
arch=$1 output=$2
cache=${3:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/cloister/kernel}
case $arch in
  x86_64) linux_arch=x86 machine=x86_64 compiler=x86_64-linux-gnu- image=arch/x86/boot/bzImage package=gcc-x86-64-linux-gnu ;;
  arm64) linux_arch=arm64 machine=aarch64 compiler=aarch64-linux-gnu- image=arch/arm64/boot/Image package=gcc-aarch64-linux-gnu ;;
  *) die "unknown architecture $arch" "x86_64 and arm64 are known" ;;
esac
if [[ $(uname -m) == "$machine" ]]; then compiler='' package=gcc; fi

# What the compiler and make read from their surroundings must not reach the kernel.
umask 022
unset MAKEFLAGS CFLAGS KCFLAGS LDFLAGS CPPFLAGS KBUILD_OUTPUT KCONFIG_CONFIG CROSS_COMPILE ARCH SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC KBUILD_BUILD_USER=cloister KBUILD_BUILD_HOST=cloister KBUILD_BUILD_VERSION=1

# --- what is needed -------------------------------------------------------------------------------------------

declare -A tools=([make]=make [flex]=flex [bison]=bison [bc]=bc [xz]=xz-utils [perl]=perl [dpkg-deb]=dpkg [apt-get]=apt
  [sha256sum]=coreutils ["${compiler}gcc"]=$package ["${compiler}ld"]=binutils)
for tool in "${!tools[@]}"; do
  command -v "$tool" >/dev/null || die "$tool is missing" "./dev setup image, or apt-get install ${tools[$tool]}"
done
[[ $arch != x86_64 || -e /usr/include/libelf.h ]] || die "libelf is missing" "./dev setup image, or apt-get install libelf-dev"

setting() { sed -n "s/^$1=//p" "$here/source"; }
source_package=$(setting package)
suite=$(setting suite)
version=${CLOISTER_KERNEL_VERSION:-$(setting version)}
wanted=$(cat "$here/enclave.config" "$here/$arch.config")
source_identity=$version
if [[ -n ${CLOISTER_KERNEL_SOURCE:-} ]]; then source_identity=$(sha256sum <"$CLOISTER_KERNEL_SOURCE"); fi
key=$({
  printf '%s\n' "$wanted" "$source_identity"
  "${compiler}gcc" --version | head -n 1
  "${compiler}ld" --version | head -n 1
  printf 'generation %d\n' $generation
} | sha256sum | cut -c 1-16)
finished=$cache/$arch-$version-$key

# --- the source -----------------------------------------------------------------------------------------------

# apt with lists, cache and sources of its own: the machine's stay as they are, its proxies and certificates count,
# and the suite's signature is checked against Debian's keyring.
private_apt() {
  local state=$cache/apt command=$1
  shift
  mkdir -p "$state/lists/partial" "$state/archives/partial"
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" >"$state/sources.list"
  : >"$state/status"
  "$command" -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state" \
    -o APT::Sandbox::User=root -o APT::Update::Post-Invoke::=true -o Acquire::Languages=none "$@"
}

fetch_source() {
  [[ -e $keyring ]] || die "Debian's keyring is missing" "apt-get install debian-archive-keyring"
  local file=$cache/${source_package}_${version//:/%3a}_all.deb log=$cache/apt.log known
  if [[ -e $file ]]; then
    printf '%s' "$file"
    return
  fi
  say "fetching $source_package $version from $mirror ($suite)"
  private_apt apt-get -qq update >"$log" 2>&1 || { cat "$log" >&2; die "$mirror cannot be read"; }
  known=$(private_apt apt-cache madison "$source_package" 2>>"$log" | awk '{print $3}' | sort -u | tr '\n' ' ')
  if [[ " $known" != *" $version "* ]]; then
    die "$mirror no longer has $source_package $version (it has: ${known:-nothing})" \
      "CLOISTER_DEBIAN_MIRROR=http://snapshot.debian.org/archive/debian/DATE for the same bytes, or CLOISTER_KERNEL_VERSION for a newer kernel"
  fi
  local partial
  partial=$(mktemp -d "$cache/fetch.XXXXXX")
  (cd "$partial" && private_apt apt-get -qq download "$source_package=$version") >>"$log" 2>&1 || {
    cat "$log" >&2
    rm -rf "$partial"
    die "$source_package $version cannot be fetched"
  }
  mv "$partial"/*.deb "$file"
  rmdir "$partial"
  printf '%s' "$file"
}

# --- the configuration ----------------------------------------------------------------------------------------

# Kconfig drops what it does not know and what lacks a dependency, without a word: every line is looked for.
check_configuration() {
  local line name lost=()
  while IFS= read -r line; do
    case $line in
      CONFIG_*=*) grep -qxF -- "$line" .config || lost+=("${line} (is: $(grep -E "^(# )?${line%%=*}[ =]" .config || echo unknown))") ;;
      '# CONFIG_'*' is not set')
        name=${line#\# } name=${name%% *}
        ! grep -q "^$name=" .config || lost+=("no $name (is: $(grep "^$name=" .config))")
        ;;
    esac
  done <<<"$wanted"
  if ((${#lost[@]} > 0)); then
    printf 'kernel: not in the configuration: %s\n' "${lost[@]}" >&2
    die "${#lost[@]} wanted options did not survive" "is the source as new as kernel/source says?"
  fi
}

# --- compiling ------------------------------------------------------------------------------------------------

compile() {
  local deb
  if [[ -n ${CLOISTER_KERNEL_SOURCE:-} ]]; then deb=$(realpath "$CLOISTER_KERNEL_SOURCE"); else deb=$(fetch_source); fi
  local work log jobs=${CLOISTER_JOBS:-$(nproc)} started=$SECONDS
  work=$(mktemp -d "$cache/build.XXXXXX")
  # shellcheck disable=SC2064 # the folder as it is now
  trap "rm -rf '$work'" EXIT
  log=$work/log
  say "unpacking ${deb##*/}"
  dpkg-deb -x "$deb" "$work/package"
  mkdir "$work/tree"
  tar -xJf "$work/package/usr/src/$source_package.tar.xz" -C "$work/tree" --strip-components=1 --no-same-owner
  rm -rf "$work/package"
  cd "$work/tree"
  KBUILD_BUILD_TIMESTAMP=$(date -u -R -r Makefile)
  export KBUILD_BUILD_TIMESTAMP
  printf '%s\n' "$wanted" >"$work/wanted"
  local make=(make "ARCH=$linux_arch" "CROSS_COMPILE=$compiler")
  "${make[@]}" -s KCONFIG_ALLCONFIG="$work/wanted" allnoconfig >"$log" 2>&1 || { cat "$log" >&2; die "the configuration cannot be made"; }
  check_configuration
  say "compiling for $arch with $jobs processes (minutes)"
  "${make[@]}" -s -j "$jobs" "${image##*/}" >>"$log" 2>&1 || { tail -n 30 "$log" >&2; die "the kernel does not compile"; }
  mkdir -p "$work/done"
  cp "$image" .config "$work/done"
  mv "$work/done/.config" "$work/done/config"
  mv -T "$work/done" "$finished" 2>/dev/null || [[ -e $finished/config ]] || die "$finished cannot be written"
  cd "$here"
  say "compiled in $((SECONDS - started)) s"
}

# One function, read whole before it runs: an edit of this file cannot reach a compilation that is under way.
main() {
  mkdir -p "$cache" "$output"
  cache=$(realpath "$cache") output=$(realpath "$output")
  finished=$cache/${finished##*/}
  if [[ -e $finished/config ]]; then say "taken from $finished"; else compile; fi
  cp "$finished/${image##*/}" "$finished/config" "$output"
  say "$output/${image##*/}: $(stat -c %s "$output/${image##*/}") bytes, SHA-256 $(sha256sum <"$output/${image##*/}" | cut -d ' ' -f 1)"
  exit 0
}
main
