package terraform

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Layers of checks, in the order in which they cost time.
const (
	byValidate = "validate"
	byTest     = "test"
	byPlan     = "plan"
	byPolicy   = "policy"
)

// mutation is a mistake that somebody could make, and the layer that must see it.
type mutation struct {
	name, file, old, new string
	by                   string
	says                 string
}

// mutations are those of the table in docs/azure.md.
func mutations() []mutation {
	const (
		signalr   = "main.signalr.tf"
		functions = "main.functions.tf"
		size      = "variables.size.tf"
		twoRegion = "examples/two-region/main.tf"
	)
	return []mutation{
		{"unknown attribute", signalr, `service_mode  `, `service_modus  `, byValidate, "service_modus"},
		{"unknown runtime", functions, `runtime_name    = "custom"`, `runtime_name    = "go"`, byValidate, "runtime_name"},

		{"SignalR tier", size, `{ name = "Free_F1" }`, `{ name = "Standard_S9" }`, byTest, "sku.0.name"},
		{"SignalR units", size, `{ name = "Free_F1" }`, `{ name = "Standard_S1", capacity = 11 }`, byTest, "sku.0.capacity"},
		{"storage name", "main.storage.tf", `"st${local.id}"`, `"st-${local.id}"`, byTest, "name"},
		{"vault name", "main.keyvault.tf", `"kv-${local.id}"`, `"kv_${local.id}"`, byTest, "name"},
		{"database SKU", size, `default     = "Basic"`, `default     = "Basci"`, byTest, "sku_name"},
		{"access keys, in a test", signalr, `local_auth_enabled                       = false`, `local_auth_enabled                       = true`, byTest, "access keys"},
		{"role's name, in a test", "main.roles.tf", `"SignalR Service Owner"`, `"SignalR Servic Owner"`, byTest, "role"},

		{"retention", size, "variable \"log_retention_days\" {\n  type        = number\n  default     = 30", "variable \"log_retention_days\" {\n  type        = number\n  default     = 3", byTest, "retention_in_days"},
		{"retention at plan", "examples/single-region/main.tf", "always_ready        = 0\n      log_retention_days  = 30", "always_ready        = 0\n      log_retention_days  = 3", byPlan, "retention_in_days"},
		{"plan's SKU", functions, `sku_name            = "FC1"`, `sku_name            = "Q1"`, byPlan, "sku_name"},
		{"always ready", "examples/single-region/main.tf", "always_ready        = 0\n", "always_ready        = 5000\n", byPlan, "always_ready"},
		{"a region that the list lacks", twoRegion, "regions       = local.regions\n", "regions       = slice(local.regions, 0, 1)\n", byPlan, "which of regions this deployment is"},
		{"a region that is elsewhere", twoRegion, `url  = "https://func-causeway$`, `url  = "https://fun-causeway$`, byPlan, "is not where this function app is"},

		{"upstream in Default mode", signalr, `"Serverless"`, `"Default"`, byPolicy, "unless the mode is Serverless"},
		{"memory", size, `default     = 512`, `default     = 777`, byPolicy, "512, 2048 or 4096"},
		{"identity without id", functions, "  storage_user_assigned_identity_id = azurerm_user_assigned_identity.app.id\n", "", byPolicy, "needs storage_user_assigned_identity_id"},
		{"access keys", signalr, `local_auth_enabled                       = false`, `local_auth_enabled                       = true`, byPolicy, "access keys are on"},
		{"role's name", "main.roles.tf", `"SignalR Service Owner"`, `"SignalR Servic Owner"`, byPolicy, "is not one that we give"},
		{"key in the plan", "modules/vault/main.tf", "  value_wo         = var.metered_key != null ? var.metered_key : one(ephemeral.azurerm_key_vault_secret.metered[*].value)\n  value_wo_version = var.metered_key_version\n", "  value            = \"in the clear\"\n", byPolicy, "value_wo is wanted"},
		{"open vault", "modules/vault/main.tf", `default_action             = "Deny"`, `default_action             = "Allow"`, byPolicy, "must be Deny"},
		{"upstream without a token", signalr, "    user_assigned_identity_id = var.upstream_audience\n", "", byPolicy, "anybody could send events"},
	}
}

func testMutations(t *testing.T, a *azure) {
	// Initialised once; a copy of what that makes serves each mutation.
	base := copyTree(t, "azure")
	initialized(t, base, ".")
	one, two := findExample(t, "single-region"), findExample(t, "two-region")
	initialized(t, base, one.dir)
	initialized(t, base, two.dir)
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			tree := copyTree(t, base)
			m.apply(t, tree)
			e := one
			if strings.HasPrefix(m.file, two.dir) {
				e = two
			}
			var out string
			var err error
			switch m.by {
			case byValidate:
				out, err = run(t, tree, plain(), "tofu", "validate")
			case byTest:
				out, err = run(t, tree, plain(), "tofu", "test", "-test-directory=tests/unit", "-filter=tests/unit/defaults.tftest.hcl")
			case byPlan:
				out, err = e.plan(t, a, filepath.Join(tree, e.dir))
			case byPolicy:
				root := filepath.Join(tree, e.dir)
				if out, err := e.plan(t, a, root); err != nil {
					t.Fatalf("the plan should have missed it: %v\n%s", err, out)
				}
				complaints := denied(t, planJSON(t, a, root))
				if !slices.ContainsFunc(complaints, func(c string) bool { return strings.Contains(c, m.says) }) {
					t.Fatalf("the policy missed it; it says %q", complaints)
				}
				return
			}
			if err == nil {
				t.Fatalf("%s missed it\n%s", m.by, out)
			}
			if !strings.Contains(out, m.says) {
				t.Fatalf("%s fails for another reason than %q:\n%s", m.by, m.says, out)
			}
		})
	}
}

// apply changes one place of the tree.
func (m mutation) apply(t *testing.T, tree string) {
	t.Helper()
	file := filepath.Join(tree, m.file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), m.old); n != 1 {
		t.Fatalf("%q is in %s %d times, want once", m.old, m.file, n)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), m.old, m.new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}
