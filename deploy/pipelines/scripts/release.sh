#!/usr/bin/env bash
# Makes a release: the package of the function app, its pages, a bill of materials, and signatures.
#
#   release.sh OUT            builds into OUT: functions.zip, site.tar.gz, causeway, sbom.json, SHA256SUMS
#   release.sh sign OUT KEY   signs OUT/SHA256SUMS by a key in Key Vault, https://VAULT.vault.azure.net/keys/NAME
#
# The build is reproducible: -trimpath, no version control stamps, one compiler (go.mod's). SHA256SUMS covers
# every file, so one signature signs the release. Nobody can sign but an identity that may use the key, and
# the key never leaves the vault. SHA256SUMS.sig is what `openssl dgst -sha256 -verify` and `cosign verify-blob` take.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)

die() { echo "release: $*" >&2; exit 1; }
usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }

build() {
  local out=$1
  [ ! -e "$out" ] || [ -z "$(ls -A "$out")" ] || die "$out is not empty"
  mkdir -p "$out"
  out=$(cd "$out" && pwd)
  make -C "$root" build >&2
  (cd "$root" && CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$out/causeway" ./cmd/causeway)
  "$out/causeway" package "$out/functions.zip" # so on Linux, on amd64
  tar -C "$root/internal/web/dist" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --exclude=.gitignore --exclude=.vite -cf - . | gzip -n >"$out/site.tar.gz"
  (cd "$root" && cyclonedx-gomod bin -json -std -output "$out/sbom.json" "$out/causeway")
  (cd "$out" && sha256sum causeway functions.zip sbom.json site.tar.gz >SHA256SUMS)
}

sign() {
  local out=$1 key=$2 digest raw
  [ -f "$out/SHA256SUMS" ] || die "$out has no SHA256SUMS"
  digest=$(openssl dgst -sha256 -binary "$out/SHA256SUMS" | base64 -w0)
  raw=$(az keyvault key sign --id "$key" --algorithm ES256 --digest "$digest" --query signature --output tsv)
  # The vault gives both numbers of the signature one behind the other; the rest of the world wants DER.
  node -e '
    const raw = Buffer.from(process.argv[1], "base64");
    if (raw.length !== 64) throw new Error(`the vault gave ${raw.length} bytes`);
    const integer = (b) => {
      while (b.length > 1 && b[0] === 0 && b[1] < 128) b = b.subarray(1);
      if (b[0] >= 128) b = Buffer.concat([Buffer.of(0), b]);
      return Buffer.concat([Buffer.of(2, b.length), b]);
    };
    const both = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))]);
    console.log(Buffer.concat([Buffer.of(0x30, both.length), both]).toString("base64"));
  ' "$raw" >"$out/SHA256SUMS.sig"
}

case ${1:-} in
  '' | -h | --help) usage ;;
  sign) [ $# -eq 3 ] || usage; sign "$2" "$3" ;;
  *) [ $# -eq 1 ] || usage; build "$1" ;;
esac
