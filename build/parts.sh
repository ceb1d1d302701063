#!/bin/sh
# The real counterparts of demo and tests: Debian packages, installed where we are root, and OpenSSL's tpm2 provider of Debian 13
# unpacked into .parts/ beside the project (Debian 12's 1.1.1 can't do TLS). Idempotent, quick when nothing is to do; never fails for a part that
# can't be had: it says which, and what that leaves unproven; the tests then skip with the same reason.
# With --gateway also what builds the gateway's image and runs it whole: some hundred MB, so only the commands that need them ask for it.
set -u
cd "$(dirname "$0")/.."

# Each as PROGRAM:PACKAGE, or with the path of a file that is no program.
board="swtpm:swtpm swtpm_setup:swtpm-tools mosquitto:mosquitto mosquitto_pub:mosquitto-clients socat:socat openssl:openssl curl:curl
  faketime:faketime casync:casync nft:nftables ip:iproute2 flock:util-linux"
# `systemd` is for systemd-analyze alone: without systemd-sysv nobody's init changes
gateway="mmdebstrap:mmdebstrap mksquashfs:squashfs-tools veritysetup:cryptsetup-bin xz:xz-utils mkfs.ext4:e2fsprogs mkfs.vfat:dosfstools mcopy:mtools
  sfdisk:fdisk cpio:cpio qemu-system-x86_64:qemu-system-x86 qemu-io:qemu-utils /usr/share/OVMF/OVMF_CODE_4M.fd:ovmf setpriv:util-linux
  losetup:mount systemd-analyze:systemd"

missing() {
  for need in "$@"; do
    found=""
    case "$need" in
      /*) [ -e "${need%%:*}" ] && found=1 ;;
      *) for directory in /usr/bin /usr/sbin /bin /sbin; do [ -x "$directory/${need%%:*}" ] && found=1; done ;;
    esac
    [ -n "$found" ] || printf ' %s' "${need##*:}"
  done
}

updated=""
refresh() { [ -n "$updated" ] || { apt-get update -qq >/dev/null 2>&1; updated=1; }; }

# no service of ours to start: a broker on the default port would be one more listener on the machine
start_nothing() {
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.sallyport && chmod 755 /usr/sbin/policy-rc.d.sallyport
  [ -e /usr/sbin/policy-rc.d ] || ln -sfn policy-rc.d.sallyport /usr/sbin/policy-rc.d
}
start_again() {
  [ "$(readlink /usr/sbin/policy-rc.d)" = policy-rc.d.sallyport ] && rm -f /usr/sbin/policy-rc.d
  rm -f /usr/sbin/policy-rc.d.sallyport
}

# install FOR PACKAGE...
install() {
  purpose=$1
  shift
  [ $# -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "parts: missing for $purpose: $*; no root or no apt-get here to install them, so what needs them is skipped (as root: apt-get install $*)" >&2
    return 0
  fi
  echo "parts: installing for $purpose: $*" >&2
  refresh
  trap start_again EXIT
  trap 'exit 1' HUP INT TERM
  start_nothing
  said=$(DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -oDPkg::Lock::Timeout=300 "$@" 2>&1) ||
    printf '%s\nparts: apt-get could not install %s; what needs them is skipped\n' "$(printf '%s' "$said" | tail -n 3)" "$*" >&2
  start_again
  trap - EXIT HUP INT TERM
}

# shellcheck disable=SC2046,SC2086
install "the simulated board" $(missing $board)
# shellcheck disable=SC2046,SC2086
if [ "${1:-}" = --gateway ]; then install "the virtual gateway, some hundred MB" $(missing $gateway); fi

command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "parts: no apt-get, so no tpm2 provider; keys lie in files here" >&2; exit 0; }
. /etc/os-release
[ "${VERSION_CODENAME:-}" != "" ] || exit 0
top=$PWD
parts=.parts/debian13

# --- Where Debian 13 comes from, for what follows and for the gateway's image: the machine's own mirrors. At every run: they may be others by now.
mkdir -p "$parts/sources" 2>/dev/null
if [ -w "$parts/sources" ]; then
  sh build/sources.sh "$VERSION_CODENAME" /etc/apt trixie > "$parts/sources/new.$$"
  mv "$parts/sources/new.$$" "$parts/sources/debian13.sources"
fi

# --- OpenSSL's tpm2 provider >= 1.2.0, from Debian 13, with the tss2 libraries of the same suite. Nothing of it is installed.
# "usable" is set last, once every piece was seen to load on this machine; test/lab/runner/needs.ts asks for it.
[ -f "$parts/usable" ] && exit 0
mkdir -p "$parts/lists/partial" "$parts/archives/partial" "$parts/root"

apt13() {
  apt-get -qq -oDir::Etc::SourceList=/dev/null -oDir::Etc::SourceParts="$top/$parts/sources" -oDir::State::Lists="$top/$parts/lists" \
    -oDir::Cache::pkgcache= -oDir::Cache::srcpkgcache= -oAPT::Sandbox::User=root "$@"
}
if [ ! -f "$parts/complete" ]; then
  echo "parts: fetching OpenSSL's tpm2 provider from Debian 13 (unpacked beside the project, not installed)" >&2
  # a suite that the mirror lacks is told in the log, and the provider needs one of them only
  apt13 update >"$parts/log" 2>&1
  if (cd "$parts/archives" && apt13 download tpm2-openssl libtss2-esys-3.0.2-0t64 libtss2-sys1t64 libtss2-mu-4.0.1-0t64 libtss2-tctildr0t64 \
      libtss2-rc0t64 libtss2-tcti-device0t64 libtss2-tcti-swtpm0t64 >>../log 2>&1); then
    for package in "$parts"/archives/*.deb; do dpkg -x "$package" "$parts/root" || exit 0; done
    touch "$parts/complete"
  else
    echo "parts: could not fetch it (see $parts/log); keys lie in files here, tests of the TPM are skipped" >&2
    exit 0
  fi
fi

libraries=$(dirname "$(dirname "$(find "$parts/root" -name tpm2.so | head -n 1)")")
loads() { ! LD_LIBRARY_PATH="$libraries" ldd "$1" 2>&1 | grep -q 'not found'; }

# Debian 13's transport to swtpm wants glibc 2.38; where the machine's is older, the machine's own suite has one that fits (TCTIs have a stable ABI)
transport="$libraries/libtss2-tcti-swtpm.so.0"
if ! loads "$transport"; then
  mkdir -p "$parts/own"
  (cd "$parts/own" && apt-get -qq -oAPT::Sandbox::User=root download libtss2-tcti-swtpm0 >>../log 2>&1) ||
    { [ "$(id -u)" = 0 ] && refresh && (cd "$parts/own" && apt-get -qq -oAPT::Sandbox::User=root download libtss2-tcti-swtpm0 >>../log 2>&1); }
  for package in "$parts"/own/*.deb; do [ -f "$package" ] && dpkg -x "$package" "$parts/own/root"; done
  find "$parts/own/root" -name 'libtss2-tcti-swtpm.so.0*' -exec cp -P {} "$libraries/" \; 2>/dev/null
  # the link must point at the file that came with it, whatever the other was called
  newest=$(find "$parts/own/root" -name 'libtss2-tcti-swtpm.so.0.*' -type f -exec basename {} \; 2>/dev/null | head -n 1)
  [ -n "$newest" ] && ln -sfn "$newest" "$transport"
fi

if loads "$libraries/ossl-modules/tpm2.so" && loads "$transport"; then
  touch "$parts/usable"
else
  echo "parts: the tpm2 provider of Debian 13 does not load on this machine; keys lie in files here, tests of the TPM are skipped" >&2
fi
exit 0
