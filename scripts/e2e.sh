#!/usr/bin/env bash
# Runs the browser tests against bin/causeway, in network namespaces of their own: loopback, and a
# LAN with one address (10.77.0.1), so that no packet leaves and no port is taken. Where namespaces
# can't be made, they run on the machine's own network; the tests of a LAN need an address there.
#   scripts/e2e.sh [FILE…]    without files: all of web/e2e
set -euo pipefail
cd "$(dirname "$0")/.."

run() {
  node --test --test-concurrency="${CAUSEWAY_E2E_JOBS:-1}" --test-timeout="${CAUSEWAY_E2E_TIMEOUT:-1200000}" "$@"
}

# Most of the time somebody waits, so there are lanes, side by side: the transfers of 200 MiB, which
# take the longest; what changes networks, which the others' browsers would notice; and the others.
run_all() {
  local big=web/e2e/transfer.test.mjs moving=web/e2e/nat.test.mjs others said status=0 lane
  mapfile -t others < <(printf '%s\n' web/e2e/*.test.mjs | grep -vxe "$big" -e "$moving")
  said=$(mktemp -d)
  declare -A lanes
  "$0" "$big" >"$said/1" 2>&1 & lanes[1]=$!
  "$0" "$moving" >"$said/2" 2>&1 & lanes[2]=$!
  CAUSEWAY_E2E_JOBS=2 "$0" "${others[@]}" || status=$?
  for lane in "${!lanes[@]}"; do
    wait "${lanes[$lane]}" || status=$?
    cat "$said/$lane"
  done
  rm -r "$said"
  return "$status"
}

if [ $# = 0 ]; then
  run_all
  exit
fi

if [ "$1" = inside ]; then
  shift
  ip link set lo up
  # One end of a pair is the LAN's interface; the other only has to exist.
  ip link add lan0 type veth peer name lan1
  ip addr add 10.77.0.1/24 dev lan0
  ip link set lan0 up
  ip link set lan1 up
  ip route add default via 10.77.0.254 dev lan0
  export CAUSEWAY_E2E_LAN=10.77.0.1
  run "$@"
  exit
fi

flags=(-n)
[ "$(id -u)" = 0 ] || flags=(-rn)
if unshare "${flags[@]}" true 2>/dev/null; then
  exec unshare "${flags[@]}" "$0" inside "$@"
fi
echo 'e2e: no network namespace can be made here; the tests run on the network of this machine' >&2
run "$@"
