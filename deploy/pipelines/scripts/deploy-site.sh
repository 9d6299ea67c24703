#!/usr/bin/env bash
# Puts pages onto a static site, asks for them, and puts the previous ones back if they are not what they should be.
#
#   deploy-site.sh GROUP SITE URL RELEASE PREVIOUS REGIONS.JSON
#
# RELEASE and PREVIOUS are folders of releases that verify.sh has passed; PREVIOUS may be empty. The token of
# the deployment is asked for by the pipeline's identity, used, and forgotten: none is stored.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "deploy: $*" >&2; }
[ $# -eq 6 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
group=$1 site=$2 url=$3 release=$4 previous=$5 regions=$6
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A file of its own name in each release, so that we know which pages answer.
push() { # push RELEASE NAME
  mkdir "$work/$2"
  tar -xzf "$1/site.tar.gz" -C "$work/$2"
  node "$here/../../site/render.mjs" "$work/$2.out" "$regions" --dist "$work/$2"
  sha256sum <"$1/site.tar.gz" | cut -c1-16 >"$work/$2.out/release.txt"
  SWA_CLI_DEPLOYMENT_TOKEN=$(az staticwebapp secrets list --resource-group "$group" --name "$site" --query properties.apiKey --output tsv) \
    swa deploy "$work/$2.out" --env production --no-use-keychain >&2
}
check() { # check NAME
  local try
  for try in 1 2 3 4 5 6; do
    if [ "$(curl -fsS --max-time 20 "$url/release.txt?$RANDOM")" = "$(cat "$work/$1.out/release.txt")" ] &&
      curl -fsS --max-time 20 -D - -o /dev/null "$url/" | grep -qi "^content-security-policy: default-src 'none'"; then
      return 0
    fi
    say "not there yet, try $try of 6"
    sleep "${CAUSEWAY_SMOKE_PAUSE:-10}"
  done
  return 1
}

if push "$release" new && check new; then
  say 'the pages are there'
  exit 0
fi
if [ -z "$previous" ] || [ ! -f "$previous/site.tar.gz" ]; then
  say 'the pages are not right, and there are no previous ones'
  exit 1
fi
say 'the pages are not right; putting the previous ones back'
if push "$previous" old && check old; then
  say 'rolled back'
  exit 1
fi
say 'ROLL-BACK FAILED'
exit 3
