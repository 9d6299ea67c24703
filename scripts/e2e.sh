#!/usr/bin/env bash
# Runs the browser tests against bin/causeway, in a network namespace of their own: loopback, and a
# LAN with one address (10.77.0.1), so that no packet leaves and no port is taken. Where namespaces
# can't be made, they run on the machine's own network; the tests of a LAN need an address there.
#   scripts/e2e.sh [FILE…]    without files: all of web/e2e
set -euo pipefail
cd "$(dirname "$0")/.."

# Files run side by side: in most of them most of the time somebody waits.
run() {
  node --test --test-concurrency="${CAUSEWAY_E2E_JOBS:-2}" --test-timeout="${CAUSEWAY_E2E_TIMEOUT:-1200000}" ${CAUSEWAY_E2E_EXCEPT:+--test-skip-pattern="$CAUSEWAY_E2E_EXCEPT"} "$@"
}

# The transfers of 200 MiB take the longest, so they begin at once and not in their turn.
run_all() {
  local big=web/e2e/transfer.test.mjs said others status=0
  said=$(mktemp)
  mapfile -t others < <(printf '%s\n' web/e2e/*.test.mjs | grep -vx "$big")
  run "$big" >"$said" 2>&1 &
  local pid=$!
  run "${others[@]}" || status=$?
  wait "$pid" || status=$?
  cat "$said"
  rm "$said"
  return "$status"
}

run_these() {
  if [ $# -gt 0 ]; then run "$@"; else run_all; fi
}

if [ "${1:-}" = inside ]; then
  shift
  ip link set lo up
  # One end of a pair is the LAN's interface; the other only has to exist.
  ip link add lan0 type veth peer name lan1
  ip addr add 10.77.0.1/24 dev lan0
  ip link set lan0 up
  ip link set lan1 up
  ip route add default via 10.77.0.254 dev lan0
  export CAUSEWAY_E2E_LAN=10.77.0.1
  run_these "$@"
  exit
fi

flags=(-n)
[ "$(id -u)" = 0 ] || flags=(-rn)
if unshare "${flags[@]}" true 2>/dev/null; then
  exec unshare "${flags[@]}" "$0" inside "$@"
fi
echo 'e2e: no network namespace can be made here; the tests run on the network of this machine' >&2
run_these "$@"
