#!/bin/sh
# Installs the pinned tools beside the project, so that the machine's own Node does not matter.
# Idempotent; takes 0.2 s when there is nothing to do. It never calls `node`: until the link below
# exists, that name means the machine's Node.
# With --parts it then installs the real counterparts of the tests (swtpm, mosquitto, ...) where it
# can, and reports what is missing. With --parts --gateway it does the same for what a complete
# virtual gateway needs (QEMU, mmdebstrap, ...).
set -eu
cd "$(dirname "$0")/.."

case "$(uname -m)" in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) echo "setup: there is no pinned Node for $(uname -m); use a machine with x86_64 or aarch64" >&2; exit 1 ;;
esac

node=node_modules/node-linux-$arch/bin/node
stamp=node_modules/.sallyport-setup
# The lock file determines the dependencies; the number is the version of this script's steps.
sum="2 $(cksum < package-lock.json)"
fresh=""
[ -x "$node" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && fresh=1

install() { npm ci --ignore-scripts --no-audit --no-fund --loglevel=error "$@" >&2; }

# Native packages that the lock file has for this machine but node_modules lacks.
left_out() {
  sed -n "s#^ *\"\(node_modules/.*linux-$arch\(-gnu\)\{0,1\}\)\": {#\1#p" package-lock.json |
    while read -r part; do [ -d "$part" ] || printf ' %s' "${part#node_modules/}"; done
}

if [ -z "$fresh" ]; then
  command -v npm >/dev/null || { echo "setup: npm is missing; on Debian, run as root: apt-get install npm" >&2; exit 1; }
  echo "setup: installing the pinned tools (npm ci, about half a minute)" >&2
  install
  [ -x "$node" ] || { echo "setup: npm did not install the pinned Node, node-linux-$arch; see its messages above" >&2; exit 1; }
fi

# The pinned Node is linked against libatomic, which a minimal Debian lacks.
if ! "$node" --version >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing libatomic1, which the pinned Node needs" >&2
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libatomic1 >/dev/null 2>&1 || true
  fi
  "$node" --version >/dev/null 2>&1 || {
    "$node" --version >&2 || true
    echo "setup: the pinned Node does not run here; on Debian, run as root: apt-get install libatomic1" >&2
    exit 1
  }
fi

if [ -z "$fresh" ]; then
  # npm leaves out optional packages for which the Node it runs on is too old, and some native
  # packages of the tools are optional. So it runs a second time on the pinned Node, from a copy
  # outside node_modules, because npm removes that first.
  if [ -n "$(left_out)" ]; then
    echo "setup: on the machine's Node, npm left out$(left_out); running it again on the pinned Node" >&2
    rm -rf .parts/node-*
    mkdir -p .parts
    keep=$(mktemp -d "$PWD/.parts/node-XXXXXX")
    trap 'rm -rf "$keep"' EXIT
    trap 'exit 1' HUP INT TERM
    ln "$node" "$keep/node" 2>/dev/null || cp "$node" "$keep/node"
    (PATH="$keep:$PATH" && export PATH NODE_NO_WARNINGS=1 && install --prefer-offline)
    [ -z "$(left_out)" ] || echo "setup: npm still left out$(left_out); programs that need them will not run" >&2
  fi
  printf '%s' "$sum" > "$stamp"
fi
[ -L node_modules/.bin/node ] || ln -sfn "../node-linux-$arch/bin/node" node_modules/.bin/node

if [ "${1:-}" = --parts ]; then sh build/parts.sh ${2:+"$2"}; fi
