#!/usr/bin/env bash
# Puts a package into a function app, asks the app whether it works, and puts the previous package back if it
# does not.
#
#   deploy-api.sh GROUP APP URL RELEASE PREVIOUS [SMOKE-FLAG…]
#
# RELEASE and PREVIOUS are folders of releases that verify.sh has passed; PREVIOUS may be empty at the
# first deploy. Flex Consumption has no slots, and an update restarts all instances: with two regions, deploy to
# one after the other (clients of the one move to the other meanwhile).
set -euo pipefail

say() { echo "deploy: $*" >&2; }
[ $# -ge 5 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
group=$1 app=$2 url=$3 release=$4 previous=$5
shift 5
[ -f "$release/functions.zip" ] && [ -x "$release/causeway" ] || { say "$release has no functions.zip and causeway"; exit 2; }

push() { az functionapp deployment source config-zip --resource-group "$group" --name "$app" --src "$1" --only-show-errors >/dev/null; }
smoke() { # smoke BINARY FLAG…: three tries, since the restart takes a while
  local try binary=$1
  shift
  for try in 1 2 3; do
    if "$binary" smoke "$url" "$@"; then return 0; fi
    say "smoke test failed, try $try of 3"
    sleep "${CAUSEWAY_SMOKE_PAUSE:-20}"
  done
  return 1
}

say "putting the new package into $app"
if push "$release/functions.zip" && smoke "$release/causeway" "$@"; then
  say 'it works'
  exit 0
fi
if [ -z "$previous" ] || [ ! -f "$previous/functions.zip" ]; then
  say 'it does not work, and there is no previous package'
  exit 1
fi
say 'it does not work; putting the previous package back'
push "$previous/functions.zip" || { say 'ROLL-BACK FAILED: the app has the new package, or none'; exit 3; }
if smoke "$previous/causeway" "$@"; then
  say 'rolled back; the previous package works'
  exit 1
fi
say 'ROLLED BACK, BUT THE PREVIOUS PACKAGE DOES NOT WORK EITHER: the fault is elsewhere'
exit 3
