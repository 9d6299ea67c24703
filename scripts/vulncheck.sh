#!/usr/bin/env bash
# Runs govulncheck where its database can be reached, and says so where not.
set -euo pipefail
if ! curl -fsS --max-time 5 -o /dev/null https://vuln.go.dev/index/db.json 2>/dev/null; then
  echo 'check: govulncheck not run: its database (vuln.go.dev) cannot be reached from here' >&2
  exit 0
fi
exec go run "$1" ./...
