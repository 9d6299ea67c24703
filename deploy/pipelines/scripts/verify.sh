#!/usr/bin/env bash
# Says whether a release may be deployed: it is signed by our key, whole, and its bill of materials is that of the
# binary. Prints why not, and fails.
#
#   verify.sh RELEASE KEY     KEY is the public key, a file of the repository
set -euo pipefail

die() { echo "verify: $*" >&2; exit 1; }
[ $# -eq 2 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
release=$1 key=$2

for f in SHA256SUMS SHA256SUMS.sig causeway functions.zip sbom.json site.tar.gz; do
  [ -f "$release/$f" ] || die "$f is missing"
done
openssl dgst -sha256 -verify "$key" -signature <(base64 -d "$release/SHA256SUMS.sig") "$release/SHA256SUMS" >/dev/null 2>&1 ||
  die 'the signature is not of our key'
(cd "$release" && sha256sum --check --strict --quiet SHA256SUMS >/dev/null 2>&1) || die 'a file is not what was signed'
[ "$(awk '{ print $2 }' "$release/SHA256SUMS" | sort | tr '\n' ' ')" = 'causeway functions.zip sbom.json site.tar.gz ' ] ||
  die 'the signature covers other files than these'

# The package has the binary that the bill of materials is of.
packed=$(unzip -p "$release/functions.zip" causeway | sha256sum) || die 'functions.zip has no causeway'
[ "$packed" = "$(sha256sum <"$release/causeway")" ] || die 'functions.zip has another binary'

# Each module that the binary says it is made of is in the bill of materials, in that version. A module that is
# replaced counts as its replacement.
bill=$(mktemp)
trap 'rm -f "$bill"' EXIT
node -e '
  const bom = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
  if (bom.bomFormat !== "CycloneDX") process.exit(1);
  for (const c of bom.components ?? []) console.log(`${c.name} ${c.version}`);
' "$release/sbom.json" >"$bill" || die 'sbom.json is no CycloneDX document'
go version -m "$release/causeway" | awk '$1 == "dep" { m = $2 " " $3 } $1 == "=>" { m = $2 " " $3 } m && $1 == "dep" { deps[++n] = m } $1 == "=>" { deps[n] = m } END { for (i = 1; i <= n; i++) print deps[i] }' |
  while read -r module; do
    grep -qxF "$module" "$bill" || die "sbom.json lacks $module"
  done
echo 'verify: signed, whole, and its bill of materials is its own'
