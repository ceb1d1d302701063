#!/bin/sh
# Installs the real counterparts of demo and tests: Debian packages, when run as root. Unpacked into
# .parts/ beside the project, not installed, are DHCP clients and servers, and from Debian 13
# OpenSSL's tpm2 provider (version 1.1.1 of Debian 12 does not support TLS) and nft (the gateway's
# image has that version). Idempotent and quick when there is nothing to do. It never fails because
# a part is unavailable: it reports the part and what is skipped without it, and the tests skip for
# that reason.
# With --gateway it also installs what builds and runs the gateway's complete image: some hundred
# MB, so only the commands that need it ask for it.
set -u
cd "$(dirname "$0")/.."

# Each entry is PROGRAM:PACKAGE, or the path of a file and its package. `systemd` is here for
# programs of it that tests run: without systemd-sysv the machine's init does not change.
board="swtpm:swtpm swtpm_setup:swtpm-tools tpm2_quote:tpm2-tools mosquitto:mosquitto mosquitto_pub:mosquitto-clients socat:socat openssl:openssl curl:curl
  faketime:faketime casync:casync certtool:gnutls-bin nginx:nginx-light nft:nftables ip:iproute2 flock:util-linux
  udevadm:udev /lib/systemd/systemd-networkd:systemd"
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

# Installed services must not start: a broker on its default port would be one more listener here.
forbid_services() {
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.sallyport && chmod 755 /usr/sbin/policy-rc.d.sallyport
  [ -e /usr/sbin/policy-rc.d ] || ln -sfn policy-rc.d.sallyport /usr/sbin/policy-rc.d
}
allow_services() {
  [ "$(readlink /usr/sbin/policy-rc.d)" = policy-rc.d.sallyport ] && rm -f /usr/sbin/policy-rc.d
  rm -f /usr/sbin/policy-rc.d.sallyport
}

# install FOR PACKAGE...
install() {
  purpose=$1
  shift
  [ $# -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "parts: missing for $purpose: $*; tests that need them are skipped; to install them, run as root: apt-get install $*" >&2
    return 0
  fi
  echo "parts: installing for $purpose: $*" >&2
  refresh
  trap allow_services EXIT
  trap 'exit 1' HUP INT TERM
  forbid_services
  output=$(DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -oDPkg::Lock::Timeout=300 "$@" 2>&1) ||
    printf '%s\nparts: apt-get could not install %s; tests that need them are skipped\n' "$(printf '%s' "$output" | tail -n 3)" "$*" >&2
  allow_services
  trap - EXIT HUP INT TERM
}

# shellcheck disable=SC2046,SC2086
install "the simulated board" $(missing $board)
# shellcheck disable=SC2046,SC2086
if [ "${1:-}" = --gateway ]; then install "the virtual gateway, some hundred MB" $(missing $gateway); fi

command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "parts: there is no apt-get, so no tpm2 provider; keys are stored in files here" >&2; exit 0; }
. /etc/os-release
[ "${VERSION_CODENAME:-}" != "" ] || exit 0
top=$PWD
parts=.parts/debian13

# --- The sources of Debian 13, for the next step and for the gateway's image: the machine's own
# mirrors. They are written at every run, because they can change.
mkdir -p "$parts/sources" 2>/dev/null
if [ -w "$parts/sources" ]; then
  sh build/sources.sh "$VERSION_CODENAME" /etc/apt trixie > "$parts/sources/new.$$"
  mv "$parts/sources/new.$$" "$parts/sources/debian13.sources"
fi

apt13() {
  apt-get -qq -oDir::Etc::SourceList=/dev/null -oDir::Etc::SourceParts="$top/$parts/sources" -oDir::State::Lists="$top/$parts/lists" \
    -oDir::Cache::pkgcache= -oDir::Cache::srcpkgcache= -oAPT::Sandbox::User=root "$@"
}

# --- nft of Debian 13, with every library down to libc, because the machine's may be older. It runs
# by the loader that came with it. None of it is installed.
nft="$parts/nft"
if [ ! -f "$nft/usable" ]; then
  mkdir -p "$parts/lists/partial" "$nft/archives" "$nft/root"
  echo "parts: fetching nft from Debian 13 (unpacked beside the project, not installed)" >&2
  apt13 update >"$nft/log" 2>&1
  if (cd "$nft/archives" && apt13 download nftables libnftables1 libnftnl11 libmnl0 libxtables12 libjansson4 libgmp10 libedit2 libbsd0 libmd0 \
      libtinfo6 libc6 >>../log 2>&1); then
    for package in "$nft"/archives/*.deb; do dpkg -x "$package" "$nft/root" || exit 0; done
    loader=$(cd "$nft" && find root -name 'ld-linux-*.so.*' | head -n 1)
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nhere=$(dirname "$0")\nexec "$here/%s" --library-path "$here/%s" "$here/root/usr/sbin/nft" "$@"\n' \
      "$loader" "$(dirname "$loader")" > "$nft/nft"
    chmod 755 "$nft/nft"
    if "$nft/nft" --version >>"$nft/log" 2>&1; then touch "$nft/usable"; fi
  fi
  [ -f "$nft/usable" ] || echo "parts: nft of Debian 13 is not available (see $nft/log); tests with it are skipped" >&2
fi

# --- DHCP clients and servers of the machine's own suite, and dhcpcd 10 of Debian 13 with its
# libraries. None of it is installed: an installed client may start by itself.
dhcp=.parts/dhcp
if [ ! -f "$dhcp/usable" ]; then
  mkdir -p "$parts/lists/partial" "$dhcp/archives" "$dhcp/archives13" "$dhcp/root" "$dhcp/root13"
  echo "parts: fetching DHCP clients and servers (unpacked beside the project, not installed)" >&2
  own_dhcp() {
    (cd "$dhcp/archives" && apt-get -qq -oAPT::Sandbox::User=root download busybox udhcpc isc-dhcp-client isc-dhcp-server isc-dhcp-relay dhcpcd-base radvd >>../log 2>&1)
  }
  own_dhcp || { [ "$(id -u)" = 0 ] && refresh && own_dhcp; }
  apt13 update >>"$dhcp/log" 2>&1
  (cd "$dhcp/archives13" && apt13 download dhcpcd-base libssl3t64 libzstd1 zlib1g libc6 >>../log 2>&1)
  for package in "$dhcp"/archives/*.deb; do [ -f "$package" ] && dpkg -x "$package" "$dhcp/root"; done
  for package in "$dhcp"/archives13/*.deb; do [ -f "$package" ] && dpkg -x "$package" "$dhcp/root13"; done
  # the programs lie in /sbin or in /usr/sbin, by the suite
  mkdir -p "$dhcp/bin"
  for program in busybox dhclient dhclient-script dhcpcd dhcpd dhcrelay radvd; do
    found=$(cd "$dhcp" && find root \( -type f -o -type l \) \( -path "*bin/$program" \) | head -n 1)
    [ -n "$found" ] && ln -sfn "../$found" "$dhcp/bin/$program"
  done
  loader=$(cd "$dhcp" && find root13 -name 'ld-linux-*.so.*' | head -n 1)
  libraries=$(cd "$dhcp" && dirname "$(find root13 -name 'libcrypto.so.3' | head -n 1)")
  # shellcheck disable=SC2016
  printf '#!/bin/sh\nhere=$(dirname "$0")/..\nexec "$here/%s" --library-path "$here/%s:$here/%s" "$here/root13/usr/sbin/dhcpcd" "$@"\n' \
    "$loader" "$(dirname "$loader")" "$libraries" > "$dhcp/bin/dhcpcd10"
  chmod 755 "$dhcp/bin/dhcpcd10"
  # dhclient and the servers end with another code for their version
  if "$dhcp/bin/busybox" udhcpc --help 2>&1 | grep -q Usage && "$dhcp/bin/dhclient" --version >>"$dhcp/log" 2>&1 && "$dhcp/bin/dhcpcd" --version >>"$dhcp/log" &&
    "$dhcp/bin/dhcpcd10" --version >>"$dhcp/log" && "$dhcp/bin/dhcpd" --version >>"$dhcp/log" 2>&1 &&
    "$dhcp/bin/dhcrelay" --version >>"$dhcp/log" 2>&1 && "$dhcp/bin/radvd" --version 2>&1 | grep -q Version; then
    touch "$dhcp/usable"
  else
    echo "parts: DHCP clients or servers are not available (see $dhcp/log); tests with them are skipped" >&2
  fi
fi

# --- OpenSSL's tpm2 provider >= 1.2.0 from Debian 13, with the tss2 libraries of the same suite.
# None of it is installed. The file "usable" is made last, after every library was seen to load on
# this machine; test/lab/runner/needs.ts checks for it.
[ -f "$parts/usable" ] && exit 0
mkdir -p "$parts/lists/partial" "$parts/archives/partial" "$parts/root"

if [ ! -f "$parts/complete" ]; then
  echo "parts: fetching OpenSSL's tpm2 provider from Debian 13 (unpacked beside the project, not installed)" >&2
  # A suite that the mirror lacks is reported in the log only: the provider needs just one of them.
  apt13 update >"$parts/log" 2>&1
  if (cd "$parts/archives" && apt13 download tpm2-openssl libtss2-esys-3.0.2-0t64 libtss2-sys1t64 libtss2-mu-4.0.1-0t64 libtss2-tctildr0t64 \
      libtss2-rc0t64 libtss2-tcti-device0t64 libtss2-tcti-swtpm0t64 >>../log 2>&1); then
    for package in "$parts"/archives/*.deb; do dpkg -x "$package" "$parts/root" || exit 0; done
    touch "$parts/complete"
  else
    echo "parts: could not fetch it (see $parts/log); keys are stored in files here, and TPM tests are skipped" >&2
    exit 0
  fi
fi

libraries=$(dirname "$(dirname "$(find "$parts/root" -name tpm2.so | head -n 1)")")
loads() { ! LD_LIBRARY_PATH="$libraries" ldd "$1" 2>&1 | grep -q 'not found'; }

# Debian 13's transport to swtpm needs glibc 2.38. Where the machine's is older, the machine's own
# suite has one that fits (TCTIs have a stable ABI).
transport="$libraries/libtss2-tcti-swtpm.so.0"
if ! loads "$transport"; then
  mkdir -p "$parts/own"
  (cd "$parts/own" && apt-get -qq -oAPT::Sandbox::User=root download libtss2-tcti-swtpm0 >>../log 2>&1) ||
    { [ "$(id -u)" = 0 ] && refresh && (cd "$parts/own" && apt-get -qq -oAPT::Sandbox::User=root download libtss2-tcti-swtpm0 >>../log 2>&1); }
  for package in "$parts"/own/*.deb; do [ -f "$package" ] && dpkg -x "$package" "$parts/own/root"; done
  find "$parts/own/root" -name 'libtss2-tcti-swtpm.so.0*' -exec cp -P {} "$libraries/" \; 2>/dev/null
  # The link must point at the file that came with it, not at the other one.
  newest=$(find "$parts/own/root" -name 'libtss2-tcti-swtpm.so.0.*' -type f -exec basename {} \; 2>/dev/null | head -n 1)
  [ -n "$newest" ] && ln -sfn "$newest" "$transport"
fi

if loads "$libraries/ossl-modules/tpm2.so" && loads "$transport"; then
  touch "$parts/usable"
else
  echo "parts: Debian 13's tpm2 provider does not load here; keys are stored in files, and TPM tests are skipped" >&2
fi
exit 0
