// Package terraform has only tests: of the infrastructure code beside it, of the pipelines and of the
// static site's rules (make test-infra, make test-infra-full).
//
// OpenTofu and the azurerm provider are the real ones. Azure is internal/armtest, under Azure's own host
// names, in a network namespace that has nothing else (scripts/infra.sh). Each layer of checks is tried
// with a mutation that it must catch, since each misses what another sees: the provider knows no upstream
// that has no effect, and OpenTofu no role that does not exist.
package terraform
