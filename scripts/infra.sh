#!/usr/bin/env bash
# Tests of deploy/: the infrastructure code by OpenTofu and the real azurerm provider against a stand-in
# for Azure, the pipelines, the static site. No account, no network: see docs/azure.md.
#
#   scripts/infra.sh tools NAME… builds tools (tofu, opa, …), or finds them built; prints the folder they are in
#   scripts/infra.sh test        format, validation, mocked tests, lint, policy, plans, mutations, pipelines
#   scripts/infra.sh test full   the same by the whole provider, and each example applied, planned again and destroyed
#   scripts/infra.sh update      writes the golden files anew, by applying every example
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

# What nobody debugs, and what runs for seconds: a third less work for the compiler.
quick=(-trimpath '-gcflags=all=-l -dwarf=false')

# timed COMMAND…: says what it took, by the clock and of the processors.
timed() {
  local TIMEFORMAT='infra: %0R s, %0U + %0S s of CPU'
  time "$@"
}

# built FILE KEY: is FILE there, and of KEY?
built() { [ -x "$1" ] && [ "$(cat "$1.key" 2>/dev/null)" = "$2" ]; }

# module FOLDER PACKAGE FILE VERSION [LDFLAGS]: builds PACKAGE of deploy/terraform/tools/FOLDER into FILE.
module() {
  local folder=deploy/terraform/tools/$1 key
  key="$4 $(go env GOVERSION) $(cat "$folder/go.mod" "$folder/go.sum" | sha256sum)"
  built "$3" "$key" || compile "$folder" "$2" "$3" "$4" "$key" "${5:-}"
}

compile() { # compile FOLDER PACKAGE FILE VERSION KEY LDFLAGS
  say "building $2 $4 (once; it takes minutes)"
  rm -f "$3.key"
  (cd "$1" && GOWORK=off timed go build -mod=readonly "${quick[@]}" -ldflags "-s -w $6" -o "$3.new" "$2")
  mv "$3.new" "$3" # who runs the old one goes on with it
  echo "$5" >"$3.key"
}

# tool NAME: builds what is started by this name.
tool() {
  local t name package key
  if [ "$1" = tofu ]; then
    module tofu github.com/opentofu/opentofu/cmd/tofu "$bin/tofu" "$tofu_version" '-X github.com/opentofu/opentofu/version.dev=no'
    return
  fi
  for t in "${tools[@]}"; do
    read -r name package <<<"$t"
    [ "$1" = "$name" ] || continue
    key="$package $(go env GOVERSION)"
    if ! built "$bin/$name" "$key"; then
      say "building $package (once)"
      GOBIN=$bin GOWORK=off timed go install "${quick[@]}" -ldflags='-s -w' "$package"
      echo "$key" >"$bin/$name.key"
    fi
    return
  done
  die "no tool is called $1"
}

# azurerm whole|thin: the provider, whole or with only the services that our resources are of (deploy/terraform/tools/thin).
azurerm() {
  local module=github.com/hashicorp/terraform-provider-azurerm tools=deploy/terraform/tools file=$bin/azurerm.$1 key source
  local version_flag="-X $module/version.ProviderVersion=$azurerm_version"
  if [ "$1" = whole ]; then
    module azurerm "$module" "$file" "$azurerm_version" "$version_flag"
    return
  fi
  key="$azurerm_version $(go env GOVERSION) $(
    {
      cat "$tools/azurerm/go.mod" "$tools/azurerm/go.sum" "$tools/thin/main.go"
      grep -rhoE '"azurerm_\w+"' --include='*.tf' deploy/terraform | sort -u
    } | sha256sum
  )"
  built "$file" "$key" && return
  source=$(cd "$tools/azurerm" && GOWORK=off go mod download "$module" && GOWORK=off go list -m -f '{{.Dir}}' "$module")
  rm -rf "$cache/thin"
  go run "./$tools/thin" "$source" deploy/terraform "$cache/thin"
  compile "$cache/thin" "$module" "$file" "$azurerm_version" "$key" "$version_flag"
  rm -rf "$cache/thin"
}

# providers whole|thin: a folder of them, as OpenTofu wants it, and its settings to use them.
providers() {
  local mirror=$cache/mirror.$1
  azurerm "$1"
  module time github.com/hashicorp/terraform-provider-time "$bin/time" "$time_version"
  mirrored "$mirror" azurerm "$azurerm_version" "$bin/azurerm.$1"
  mirrored "$mirror" time "$time_version" "$bin/time"
  # The mirror is asked under both names that the short source hashicorp/azurerm may stand for.
  mkdir -p "$mirror/registry.terraform.io"
  ln -sfn ../registry.opentofu.org/hashicorp "$mirror/registry.terraform.io/hashicorp"
  cat >"$cache/tofurc.$1" <<EOF
disable_checkpoint = true
provider_installation {
  filesystem_mirror {
    path = "$mirror"
  }
}
EOF
}

mirrored() { # mirrored MIRROR NAME VERSION FILE
  local folder=$1/registry.opentofu.org/hashicorp/$2/$3/$platform
  mkdir -p "$folder"
  ln -f "$4" "$folder/terraform-provider-$2_v$3"
}

# build WHAT…: functions of the above, with their arguments as one word, one after the other; nobody else builds meanwhile.
build() {
  mkdir -p "$bin"
  (
    flock 8
    for what; do $what; done
  ) 8>"$cache/lock"
}

# Static Web Apps' CLI and the parser of T-SQL are of npm, in a folder of its own: the front end needs none of it.
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
    # As internal/armtest, the examples' test values and their own (terraform.tfvars.example) have them.
    echo 127.0.0.1 management.azure.test login.azure.test
    for v in kv-causewaytst kv-causewaytstp kv-causewaytsteu kv-causewaytstus kv-causewaytstca kv-causewayabc; do echo "127.0.0.1 $v.vault.azure.net"; done
  } >"$hosts"
  # shellcheck disable=SC2016
  unshare "${map[@]}" --net --mount bash -c '
    ip link set lo up && mount --bind "$1" /etc/hosts && shift && exec "$@"' isolated "$hosts" "$@"
}

run_tests() { # run_tests plan|full [TEST-FLAG…]
  local test=$cache/infra.test provider=thin
  [ "$1" = plan ] || provider=whole
  scripts/setup.sh infra
  # The provider takes the most, and its last part is one processor's.
  npm_tools &
  local npm=$!
  build "providers $provider" 'tool tofu' 'tool tflint' 'tool opa' 'tool actionlint' 'tool cyclonedx-gomod'
  wait "$npm"
  go test -c -o "$test" ./deploy/terraform
  go test ./internal/armtest
  isolated env "PATH=$bin:$PATH" "TF_CLI_CONFIG_FILE=$cache/tofurc.$provider" CAUSEWAY_TEST_INFRA="$1" \
    bash -c 'cd deploy/terraform && exec "$@"' in "$test" -test.v -test.parallel 12 -test.timeout 50m "${@:2}"
}

case ${1:-} in
  tools)
    shift
    [ $# -gt 0 ] || die 'which tools? tofu, tflint, opa, actionlint, cyclonedx-gomod'
    scripts/setup.sh infra >&2
    build "${@/#/tool }"
    echo "$bin"
    ;;
  test) run_tests "${2:-plan}" ;;
  update) CAUSEWAY_UPDATE_GOLDEN=1 run_tests full -test.run 'TestAzure/examples/.*(region|production|apps|delivery)$' ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
