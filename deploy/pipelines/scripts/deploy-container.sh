#!/usr/bin/env bash
# Makes an image of a release, puts it into a container app, asks the app whether it works, and puts the previous image
# back if it does not.
#
#   deploy-container.sh GROUP APP URL REPOSITORY RELEASE [SMOKE-FLAG…]
#
# REPOSITORY is REGISTRY.azurecr.io/NAME; RELEASE a folder that verify.sh has passed, so that the image has nothing but what was
# signed, and this machine's certificates. The app gets it by digest. The login to the registry is the pipeline's identity's,
# for this one time. The app has one replica, so sessions end with the old one, and clients connect again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "deploy: $*" >&2; }
[ $# -ge 5 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
group=$1 app=$2 url=$3 repository=$4 release=$5
shift 5
[ -x "$release/causeway" ] || { say "$release has no causeway"; exit 2; }
registry=${repository%%/*}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

push() { # prints the image by its digest
  local image
  image=$repository:$(sha256sum <"$release/causeway" | cut -c1-16)
  "$here/../../container/build.sh" "$release/causeway" "$image" >/dev/null
  az acr login --name "${registry%%.*}" --expose-token --query accessToken --output tsv |
    buildah login --authfile "$work/auth.json" --username 00000000-0000-0000-0000-000000000000 --password-stdin "$registry" >&2
  buildah push --quiet --authfile "$work/auth.json" --digestfile "$work/digest" "$image" >&2
  echo "$repository@$(cat "$work/digest")"
}
put() { az containerapp update --resource-group "$group" --name "$app" --image "$1" --only-show-errors --output none; }
smoke() { # smoke FLAG…: three tries, since the new replica takes a while
  local try
  for try in 1 2 3; do
    if "$release/causeway" smoke "$url" "$@"; then return 0; fi
    say "smoke test failed, try $try of 3"
    sleep "${CAUSEWAY_SMOKE_PAUSE:-20}"
  done
  return 1
}

previous=$(az containerapp show --resource-group "$group" --name "$app" --query 'properties.template.containers[0].image' --output tsv)
new=$(push)
say "putting $new into $app"
if put "$new" && smoke "$@"; then
  say 'it works'
  exit 0
fi
if [ -z "$previous" ] || [ "$previous" = "$new" ]; then
  say 'it does not work, and there is no previous image'
  exit 1
fi
say "it does not work; putting $previous back"
put "$previous" || { say 'ROLL-BACK FAILED: the app has the new image, or none'; exit 3; }
if smoke "$@"; then
  say 'rolled back; the previous image works'
  exit 1
fi
say 'ROLLED BACK, BUT THE PREVIOUS IMAGE DOES NOT WORK EITHER: the fault is elsewhere'
exit 3
