#!/usr/bin/env bash
# Tests of deploy/: the infrastructure code by OpenTofu and the real azurerm provider against a stand-in
# for Azure, the pipelines, the static site. No account, no network: see docs/azure.md.
#
#   scripts/infra.sh tools       builds the tools, or finds them built; prints the folder they are in
#   scripts/infra.sh test        format, validation, mocked tests, lint, policy, plans, mutations, pipelines
#   scripts/infra.sh test full   the same, and each example applied, planned again and destroyed
#   scripts/infra.sh update      writes the golden files anew
#
# The tools are kept in $XDG_CACHE_HOME/causeway/infra, by version. The tests run in a network namespace
# of their own, where the stand-in has Azure's host names: as root, or where user namespaces are allowed.
set -euo pipefail
cd "$(dirname "$0")/.."

tofu_version=1.12.6
azurerm_version=5.2.0
time_version=0.14.2
tools=( # COMMAND PACKAGE@VERSION, each a main package
  'tflint github.com/terraform-linters/tflint@v0.64.0'
  'opa github.com/open-policy-agent/opa@v1.22.3'
  'actionlint github.com/rhysd/actionlint/cmd/actionlint@v1.7.12'
  'cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0'
)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/causeway/infra
bin=$cache/bin
platform=$(go env GOOS)_$(go env GOARCH)

say() { echo "infra: $*" >&2; }
die() { say "$@"; exit 1; }

# built FILE KEY: is FILE there, and of KEY?
built() { [ -x "$1" ] && [ "$(cat "$1.key" 2>/dev/null)" = "$2" ]; }

# module FOLDER PACKAGE FILE VERSION [LDFLAGS]: builds PACKAGE of deploy/terraform/tools/FOLDER into FILE.
module() {
  local folder=deploy/terraform/tools/$1 file=$3 key
  key="$4 $(go env GOVERSION) $(cat "$folder/go.mod" "$folder/go.sum" | sha256sum)"
  if ! built "$file" "$key"; then
    say "building $2 $4 (once; it takes minutes)"
    mkdir -p "$(dirname "$file")"
    rm -f "$file.key"
    file=$(realpath -m "$file")
    (cd "$folder" && GOWORK=off go build -mod=readonly -trimpath -ldflags "-s -w ${5:-}" -o "$file.new" "$2")
    mv "$file.new" "$file" # who runs the old one goes on with it
    echo "$key" >"$file.key"
  fi
}

build_tools() {
  local t name package key
  mkdir -p "$bin"
  exec 8>"$cache/lock"
  flock 8 # two at once would build twice
  module tofu github.com/opentofu/opentofu/cmd/tofu "$bin/tofu" "$tofu_version" '-X github.com/opentofu/opentofu/version.dev=no'
  local mirror=$cache/mirror/registry.opentofu.org/hashicorp
  module azurerm github.com/hashicorp/terraform-provider-azurerm \
    "$mirror/azurerm/$azurerm_version/$platform/terraform-provider-azurerm_v$azurerm_version" "$azurerm_version" \
    "-X github.com/hashicorp/terraform-provider-azurerm/version.ProviderVersion=$azurerm_version"
  module time github.com/hashicorp/terraform-provider-time \
    "$mirror/time/$time_version/$platform/terraform-provider-time_v$time_version" "$time_version"
  for t in "${tools[@]}"; do
    read -r name package <<<"$t"
    key="$package $(go env GOVERSION)"
    if ! built "$bin/$name" "$key"; then
      say "building $package (once)"
      GOBIN=$bin GOWORK=off GOFLAGS=-trimpath go install -ldflags='-s -w' "$package"
      echo "$key" >"$bin/$name.key"
    fi
  done
  flock -u 8
  # The mirror is asked under both names that the short source hashicorp/azurerm may stand for.
  mkdir -p "$cache/mirror/registry.terraform.io"
  ln -sfn ../registry.opentofu.org/hashicorp "$cache/mirror/registry.terraform.io/hashicorp"
  cat >"$cache/tofurc" <<EOF
disable_checkpoint = true
provider_installation {
  filesystem_mirror {
    path = "$cache/mirror"
  }
}
EOF
}

# Static Web Apps' CLI is of npm, in a folder of its own: the front end needs none of it.
npm_tools() {
  if [ deploy/site/node_modules/.ready -ot deploy/site/package-lock.json ]; then
    npm --prefix deploy/site ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    touch deploy/site/node_modules/.ready
  fi
}

# isolated COMMAND…: runs it where there is no network but loopback, and Azure's names lead there.
isolated() {
  local hosts map=()
  [ "$(id -u)" = 0 ] || map=(--map-root-user)
  unshare "${map[@]}" --net --mount true 2>/dev/null ||
    die 'the tests want a network and a mount namespace of their own: run them as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0)'
  hosts=$(mktemp)
  {
    echo 127.0.0.1 localhost
    # As internal/armtest and the examples' test values have them.
    echo 127.0.0.1 management.azure.test login.azure.test
    for v in kv-causewaytst kv-causewaytstp kv-causewaytsteu kv-causewaytstus kv-causewaytstca; do echo "127.0.0.1 $v.vault.azure.net"; done
  } >"$hosts"
  # shellcheck disable=SC2016
  unshare "${map[@]}" --net --mount bash -c '
    ip link set lo up && mount --bind "$1" /etc/hosts && shift && exec "$@"' isolated "$hosts" "$@"
}

run_tests() { # run_tests [FULL] [UPDATE]
  local test=$cache/infra.test
  scripts/setup.sh infra
  build_tools
  npm_tools
  go test -c -o "$test" ./deploy/terraform
  go test ./internal/armtest
  isolated env "PATH=$bin:$PATH" "TF_CLI_CONFIG_FILE=$cache/tofurc" CAUSEWAY_TEST_INFRA="${1:-plan}" CAUSEWAY_UPDATE_GOLDEN="${2:-}" \
    bash -c 'cd deploy/terraform && exec "$0" -test.v -test.parallel 6 -test.timeout 50m' "$test"
}

case ${1:-} in
  tools) scripts/setup.sh infra && build_tools && npm_tools && echo "$bin" ;;
  test) run_tests "${2:-plan}" ;;
  update) run_tests plan 1 ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
