#!/usr/bin/env bash
# Carries out the plan that was reviewed: that file and no other. OpenTofu refuses it if the state has changed since.
#
#   infra-apply.sh DIR PLANNED   PLANNED is what infra-plan.sh made
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 64; }
planned=$(cd "$2" && pwd)
(cd "$planned" && sha256sum --check --strict --quiet SHA256SUMS) || { echo 'apply: the plan is not the one that was made' >&2; exit 1; }
cd "$1"
export TF_IN_AUTOMATION=1 TF_INPUT=0
tofu init -backend-config=backend.hcl >&2
tofu apply -lock-timeout=5m "$planned/change.plan" >&2
tofu output -json regions
