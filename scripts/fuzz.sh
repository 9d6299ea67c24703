#!/usr/bin/env bash
# Fuzzes what reads the relay's packets, from the committed corpora on, for 60 seconds in all (or 60 times FACTOR).
# An input that fails is left in the package's testdata/fuzz, to be committed with the fix.
#   scripts/fuzz.sh [FACTOR]
set -euo pipefail
cd "$(dirname "$0")/.."
factor=${1:-1}
while read -r seconds package target; do
  go test -run='^$' -fuzz="^$target\$" -fuzztime="$((seconds * factor))s" -parallel=2 "./internal/relay$package" ||
    { echo "fuzz: $target of internal/relay$package failed" >&2; exit 1; }
done <<'LIST'
15 /wire FuzzPacket
15 /wire FuzzAttributes
16 / FuzzClient
3 /policy FuzzCanonical
4 /policy FuzzGate
2 /nonce FuzzValid
2 /credential FuzzParse
3 /udp FuzzControl
LIST
