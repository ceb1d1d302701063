#!/bin/sh
# Brings the pinned tools beside the project, so that the machine's own Node does not matter. Idempotent; 0.2 s when nothing is to do.
# Calls no `node`: until the link below exists, that name means the machine's Node.
# With --parts it then looks for the real counterparts of the tests (swtpm, mosquitto, ...) and says what is missing.
set -eu
cd "$(dirname "$0")/.."

case "$(uname -m)" in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) echo "setup: no pinned Node for $(uname -m); x86_64 or aarch64 is needed" >&2; exit 1 ;;
esac

stamp=node_modules/.sallyport-setup
sum=$(cat package.json package-lock.json | cksum)
if [ ! -x "node_modules/node-linux-$arch/bin/node" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
  command -v npm >/dev/null || { echo "setup: npm is missing; on Debian: apt-get install npm" >&2; exit 1; }
  echo "setup: installing the pinned tools (npm ci, about half a minute)" >&2
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  ln -sfn "../node-linux-$arch/bin/node" node_modules/.bin/node
  printf '%s' "$sum" > "$stamp"
fi
[ -L node_modules/.bin/node ] || ln -sfn "../node-linux-$arch/bin/node" node_modules/.bin/node

# The pinned Node is linked against libatomic, which a small Debian lacks (nothing else here needs it).
if ! node_modules/.bin/node --version >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing libatomic1, which the pinned Node needs" >&2
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libatomic1 >/dev/null 2>&1 || true
  fi
  node_modules/.bin/node --version >/dev/null 2>&1 || {
    node_modules/.bin/node --version >&2 || true
    echo "setup: the pinned Node does not run here; on Debian as root: apt-get install libatomic1" >&2
    exit 1
  }
fi

if [ "${1:-}" = --parts ]; then sh build/parts.sh; fi
