#!/usr/bin/env bash
# Makes sure that the tools are there. `setup.sh toolchain`: git, Go, Node. `setup.sh test`:
# also what the tests need; installed on Debian as root, else named exactly. `setup.sh infra`: what the
# tests of the infrastructure need instead.
set -euo pipefail

missing() {
  printf 'setup: missing: %s\n' "$@" >&2
  exit 1
}

# at_least WANT HAVE: is version HAVE ≥ WANT?
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

command -v go >/dev/null || missing 'Go 1.26 or later (https://go.dev/dl)'
go_version=$(go env GOVERSION)
at_least 1.26 "${go_version#go}" || missing "Go 1.26 or later; this is $go_version"
command -v node >/dev/null || missing 'Node 20.19 or later with npm (https://nodejs.org)'
node_version=$(node --version)
at_least 20.19 "${node_version#v}" || missing "Node 20.19 or later; this is $node_version"
command -v npm >/dev/null || missing 'npm, which comes with Node'
case ${1:-toolchain} in test | infra) ;; *) exit 0 ;; esac

packages=()
need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || packages+=("$2")
}
need ip iproute2
need unshare util-linux
need gcc build-essential # the race detector is linked by it
if [ "$1" = test ]; then
  need "${CAUSEWAY_CHROMIUM:-chromium}" chromium
  need "${CAUSEWAY_FIREFOX:-firefox-esr}" firefox-esr
  need turnutils_uclient coturn
  need nft nftables
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need initdb postgresql
else
  need unzip unzip
  need jq jq
  need buildah buildah
fi
[ ${#packages[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "setup: installing ${packages[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  # coturn is wanted for its client tools, PostgreSQL for tests that start their own: no server is to start.
  install_log=$(mktemp)
  if ! RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$install_log" 2>&1; then
    tail -n 20 "$install_log" >&2
    missing "Debian packages that could not be installed: ${packages[*]}"
  fi
  rm -f "$install_log"
  exit 0
fi
missing "programs of the Debian packages ${packages[*]}; install them with: sudo apt-get install ${packages[*]}" \
  'browsers elsewhere: set CAUSEWAY_CHROMIUM and CAUSEWAY_FIREFOX to their executables'
