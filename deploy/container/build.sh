#!/usr/bin/env bash
# Builds the container image of Causeway: from nothing but a binary and this machine's certificates.
#
#   build.sh BINARY IMAGE    BINARY is bin/causeway, or that of a release (static); IMAGE a name with a tag
#
# Wants buildah; no daemon and no registry. The same binary and certificates make the same image, to the byte.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

die() { echo "container: $*" >&2; exit 1; }
[ $# -eq 2 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
binary=$1 image=$2
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
command -v buildah >/dev/null || die 'buildah is missing (apt-get install buildah)'
[ -x "$binary" ] || die "$binary is no program; make it with: make build"
[ -s "$certificates" ] || die "$certificates is missing (apt-get install ca-certificates)"
if readelf -l "$binary" 2>/dev/null | grep -q INTERP; then die "$binary is not static: the image has no libraries"; fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
install -D -m 0555 "$binary" "$context/system/causeway"
install -D -m 0444 "$certificates" "$context/system/etc/ssl/certs/ca-certificates.crt"
install -d -m 0700 "$context/own/data" "$context/own/tmp"
buildah build --quiet --timestamp 0 --format oci --tag "$image" --file "$here/Dockerfile" "$context"
