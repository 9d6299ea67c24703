#!/usr/bin/env bash
# Plans an example, for a person to read and for infra-apply.sh to carry out.
#
#   infra-plan.sh DIR OUT    DIR is the example with its terraform.tfvars and backend.hcl; into OUT go the plan,
#                            its text, and what it was made of
#
# Exit code 0: nothing to do; 2: something is. The key of a vault is read by azure_key_vault_id; none is in the plan.
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 64; }
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
cd "$dir"
export TF_IN_AUTOMATION=1 TF_INPUT=0

tofu init -backend-config=backend.hcl >&2
code=0
tofu plan -detailed-exitcode -lock-timeout=5m -out="$out/change.plan" >"$out/change.txt" || code=$?
cat "$out/change.txt" >&2
[ "$code" = 0 ] || [ "$code" = 2 ] || exit 1
tofu show -json "$out/change.plan" >"$out/change.json"
complaints=$(opa eval --format raw --data "$here/../../terraform/azure/policy" --input "$out/change.json" 'concat("\n", sort(data.causeway.deny))')
changes=$(opa eval --format raw --data "$here/../../terraform/azure/policy" --input "$out/change.json" 'count(data.causeway.change)')
rm -f "$out/change.json" # it repeats the plan
if [ -n "$complaints" ]; then
  printf 'policy: %s\n' "$complaints" >&2
  exit 1
fi
(cd "$out" && sha256sum change.plan change.txt >SHA256SUMS)
[ "$changes" != 0 ] || code=0 # all that is left is what the provider does not read back
exit "$code"
