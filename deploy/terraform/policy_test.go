package terraform

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// testPolicy spoils a good plan in one value after the other: each rule must speak.
func testPolicy(t *testing.T, a *azure) {
	plans := map[string][]byte{}
	for _, name := range []string{"single-region-production", "delivery"} {
		e := findExample(t, name)
		root := initialized(t, copyTree(t, "azure"), e.dir)
		if out, err := e.plan(t, a, root); err != nil {
			t.Fatalf("plan: %v\n%s", err, out)
		}
		plans[name] = planJSON(t, a, root)
	}
	const app, signalr = "azurerm_function_app_flex_consumption", "azurerm_signalr_service"
	for _, c := range []struct {
		plan, kind, path string
		value            any
		says             string
	}{
		{"", app, "instance_memory_in_mb", 777, "512, 2048 or 4096"},
		{"", app, "always_ready.0.instance_count", 41, "more instances always ready"},
		{"", app, "https_only", false, "https_only"},
		{"", app, "webdeploy_publish_basic_authentication_enabled", true, "publishing by password"},
		{"", app, "storage_authentication_type", "StorageAccountConnectionString", "storage by a key"},
		{"", app, "app_settings", map[string]string{}, "AzureWebJobsStorage"},
		{"", app, "site_config.0.cors", []any{map[string]any{"allowed_origins": []string{"*"}}}, "any origin"},
		{"", signalr, "service_mode", "Default", "unless the mode is Serverless"},
		{"", signalr, "sku.0", map[string]any{"name": "Premium_P2", "capacity": 1}, "100 to 1000"},
		{"", signalr, "sku.0", map[string]any{"name": "Free_F1", "capacity": 2}, "one unit"},
		{"", signalr, "local_auth_enabled", true, "access keys are on"},
		{"", signalr, "upstream_endpoint.0.user_assigned_identity_id", nil, "anybody could send"},
		{"", signalr, "cors.0.allowed_origins", []string{"*"}, "any origin"},
		{"", "azurerm_storage_account", "shared_access_key_enabled", true, "shared keys are on"},
		{"", "azurerm_storage_account", "min_tls_version", "TLS1_0", "older than TLS 1.2"},
		{"", "azurerm_storage_account", "network_rules.0.default_action", "Allow", "must be Deny"},
		{"", "azurerm_key_vault", "network_acls.0.default_action", "Allow", "must be Deny"},
		{"", "azurerm_key_vault", "rbac_authorization_enabled", false, "not by role"},
		{"", "azurerm_key_vault", "purge_protection_enabled", false, "can be purged"},
		{"", "azurerm_key_vault_secret", "value", "x", "value_wo is wanted"},
		{"", "azurerm_mssql_server", "azuread_administrator.0.azuread_authentication_only", false, "takes passwords"},
		{"", "azurerm_mssql_server", "minimum_tls_version", "1.0", "older than TLS 1.2"},
		{"", "azurerm_mssql_firewall_rule", "start_ip_address", "0.0.0.0", "all of Azure"},
		{"", "azurerm_application_insights", "local_authentication_enabled", true, "telemetry by key"},
		{"", "azurerm_application_insights", "sampling_percentage", 0, "sampled away"},
		{"", "azurerm_role_assignment", "role_definition_name", "Owner", "is not one that we give"},
		{"", "azurerm_consumption_budget_subscription", "notification.0.contact_emails", []string{}, "tells nobody"},
		{"delivery", "azurerm_role_assignment", "", map[string]any{"role_definition_name": "Role Based Access Control Administrator", "condition": nil}, "held to a condition"},
		{"delivery", "azurerm_role_assignment", "", map[string]any{"role_definition_name": "Contributor", "scope": "/subscriptions/1"}, "Contributor of a whole subscription"},
	} {
		name := c.plan
		if name == "" {
			name = "single-region-production"
		}
		t.Run(c.kind+" "+c.path, func(t *testing.T) {
			complaints := denied(t, spoil(t, plans[name], c.kind, c.path, c.value))
			if !slices.ContainsFunc(complaints, func(s string) bool { return strings.Contains(s, c.says) }) {
				t.Errorf("the policy says %q", complaints)
			}
		})
	}
}

// spoil sets a value of the first resource of a kind.
func spoil(t *testing.T, plan []byte, kind, path string, value any) []byte {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal(plan, &p); err != nil {
		t.Fatal(err)
	}
	r := findResource(p["planned_values"].(map[string]any)["root_module"], kind)
	if r == nil {
		t.Fatalf("no %s in the plan", kind)
	}
	values := r["values"].(map[string]any)
	if path == "" {
		for k, v := range value.(map[string]any) {
			values[k] = v
		}
	} else {
		setPath(t, values, strings.Split(path, "."), value)
	}
	out, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func findResource(module any, kind string) map[string]any {
	m, ok := module.(map[string]any)
	if !ok {
		return nil
	}
	resources, _ := m["resources"].([]any)
	for _, r := range resources {
		if r := r.(map[string]any); r["type"] == kind && r["mode"] == "managed" {
			return r
		}
	}
	children, _ := m["child_modules"].([]any)
	for _, c := range children {
		if r := findResource(c, kind); r != nil {
			return r
		}
	}
	return nil
}

func setPath(t *testing.T, at any, path []string, value any) {
	t.Helper()
	last := len(path) == 1
	switch at := at.(type) {
	case map[string]any:
		if last {
			at[path[0]] = value
			return
		}
		setPath(t, at[path[0]], path[1:], value)
	case []any:
		if len(at) == 0 || path[0] != "0" {
			t.Fatalf("nothing at %v", path)
		}
		if last {
			at[0] = value
			return
		}
		setPath(t, at[0], path[1:], value)
	default:
		t.Fatalf("nothing at %v", path)
	}
}
