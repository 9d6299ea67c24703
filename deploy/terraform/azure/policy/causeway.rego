# Rules about a plan (tofu show -json) that neither OpenTofu nor the provider knows.
#
#   opa eval --format raw --data policy --input plan.json 'concat("\n", sort(data.causeway.deny))'
package causeway

# All resources that the plan leaves there, of all modules.
planned contains r if {
	walk(input.planned_values.root_module, [_, m])
	some r in m.resources
	r.mode == "managed"
}

of_type(type) := {r | some r in planned; r.type == type}

complaint(r, text) := sprintf("%s: %s", [r.address, text])

# Values that Azure checks, and the provider does not.

deny contains complaint(r, "memory is 512, 2048 or 4096 MB") if {
	some r in of_type("azurerm_function_app_flex_consumption")
	not r.values.instance_memory_in_mb in {512, 2048, 4096}
}

deny contains complaint(r, "more instances always ready than there may be at most") if {
	some r in of_type("azurerm_function_app_flex_consumption")
	sum([a.instance_count | some a in r.values.always_ready]) > r.values.maximum_instance_count
}

deny contains complaint(r, "an upstream has no effect unless the mode is Serverless") if {
	some r in of_type("azurerm_signalr_service")
	count(r.values.upstream_endpoint) > 0
	r.values.service_mode != "Serverless"
}

deny contains complaint(r, "Premium_P2 has 100 to 1000 units") if {
	some r in of_type("azurerm_signalr_service")
	some sku in r.values.sku
	sku.name == "Premium_P2"
	sku.capacity < 100
}

deny contains complaint(r, "Free_F1 has one unit") if {
	some r in of_type("azurerm_signalr_service")
	some sku in r.values.sku
	sku.name == "Free_F1"
	sku.capacity != 1
}

deny contains complaint(r, "storage by identity needs storage_user_assigned_identity_id") if {
	some r in of_type("azurerm_function_app_flex_consumption")
	r.values.storage_authentication_type == "UserAssignedIdentity"
	not configured(r, "storage_user_assigned_identity_id")
}

deny contains complaint(r, "a user-assigned identity needs identity_ids") if {
	some r in planned
	some i in r.values.identity
	contains(i.type, "UserAssigned")
	not has_identity(r, i)
}

# Known only after apply is there, too.
configured(r, key) if is_string(r.values[key])

configured(r, key) if {
	some c in input.resource_changes
	c.address == r.address
	c.change.after_unknown[key] == true
}

has_identity(_, i) if count(i.identity_ids) > 0

has_identity(r, _) if {
	some c in input.resource_changes
	c.address == r.address
	some u in c.change.after_unknown.identity
	u.identity_ids
}

# Identities instead of keys.

deny contains complaint(r, "access keys are on: local_auth_enabled must be false") if {
	some r in of_type("azurerm_signalr_service")
	r.values.local_auth_enabled != false
}

deny contains complaint(r, "an upstream without a token: anybody could send events") if {
	some r in of_type("azurerm_signalr_service")
	some u in r.values.upstream_endpoint
	object.get(u, "user_assigned_identity_id", null) in {null, ""}
}

deny contains complaint(r, "shared keys are on: shared_access_key_enabled must be false") if {
	some r in of_type("azurerm_storage_account")
	r.values.shared_access_key_enabled != false
}

deny contains complaint(r, "storage by a key: UserAssignedIdentity is wanted") if {
	some r in of_type("azurerm_function_app_flex_consumption")
	r.values.storage_authentication_type != "UserAssignedIdentity"
}

deny contains complaint(r, "the provider sends AzureWebJobsStorage with an empty key unless it is set to nothing") if {
	some r in of_type("azurerm_function_app_flex_consumption")
	settings := object.get(r.values, "app_settings", null)
	is_object(settings) # unknown until apply where it names what is not there yet
	object.get(settings, "AzureWebJobsStorage", "missing") != ""
}

deny contains complaint(r, "publishing by password is on") if {
	some r in of_type("azurerm_function_app_flex_consumption")
	r.values.webdeploy_publish_basic_authentication_enabled != false
}

deny contains complaint(r, "the database server takes passwords: azuread_authentication_only must be true") if {
	some r in of_type("azurerm_mssql_server")
	not entra_only(r)
}

entra_only(r) if {
	some a in r.values.azuread_administrator
	a.azuread_authentication_only == true
}

deny contains complaint(r, "telemetry by key is on: local_authentication_enabled must be false") if {
	some r in of_type("azurerm_application_insights")
	r.values.local_authentication_enabled != false
}

# Secrets are in neither plan nor state.

deny contains complaint(r, "a secret's value in the plan: value_wo is wanted") if {
	some r in of_type("azurerm_key_vault_secret")
	is_string(r.values.value)
	r.values.value != ""
}

# Closed by default.

deny contains complaint(r, "the vault is not by role: rbac_authorization_enabled must be true") if {
	some r in of_type("azurerm_key_vault")
	r.values.rbac_authorization_enabled != true
}

deny contains complaint(r, "the vault can be purged: purge_protection_enabled must be true") if {
	some r in of_type("azurerm_key_vault")
	r.values.purge_protection_enabled != true
}

deny contains complaint(r, "open to all networks: the default action must be Deny") if {
	some type in {"azurerm_key_vault", "azurerm_storage_account"}
	some r in of_type(type)
	not denies(r)
}

denies(r) if {
	some acl in object.get(r.values, "network_acls", [])
	acl.default_action == "Deny"
}

denies(r) if {
	some rule in object.get(r.values, "network_rules", [])
	rule.default_action == "Deny"
}

deny contains complaint(r, "0.0.0.0 lets in all of Azure, other people's too") if {
	some r in of_type("azurerm_mssql_firewall_rule")
	r.values.start_ip_address == "0.0.0.0"
}

deny contains complaint(r, "older than TLS 1.2") if {
	some r in planned
	some key in {"min_tls_version", "minimum_tls_version"}
	is_string(r.values[key])
	not r.values[key] in {"TLS1_2", "TLS1_3", "1.2", "1.3"}
}

deny contains complaint(r, "https_only must be true") if {
	some r in of_type("azurerm_function_app_flex_consumption")
	r.values.https_only != true
}

deny contains complaint(r, "any origin may call with credentials") if {
	some r in planned
	some cors in cors_of(r)
	"*" in cors.allowed_origins
}

cors_of(r) := r.values.cors if r.type == "azurerm_signalr_service"

cors_of(r) := [c | some s in r.values.site_config; some c in s.cors] if r.type == "azurerm_function_app_flex_consumption"

# Least rights. A typing error in a role's name shows at apply only.

roles := {
	"AcrPull",
	"AcrPush",
	"Container Apps Contributor",
	"Contributor",
	"Key Vault Secrets Officer",
	"Key Vault Secrets User",
	"Monitoring Metrics Publisher",
	"Reader",
	"Role Based Access Control Administrator",
	"SignalR Service Owner",
	"Storage Blob Data Contributor",
	"Storage Blob Data Owner",
	"Website Contributor",
}

deny contains complaint(r, sprintf("the role %q is not one that we give", [r.values.role_definition_name])) if {
	some r in of_type("azurerm_role_assignment")
	not r.values.role_definition_name in roles
}

deny contains complaint(r, "who gives roles must be held to a condition") if {
	some r in of_type("azurerm_role_assignment")
	r.values.role_definition_name == "Role Based Access Control Administrator"
	object.get(r.values, "condition", null) == null
}

deny contains complaint(r, "Contributor of a whole subscription") if {
	some r in of_type("azurerm_role_assignment")
	r.values.role_definition_name == "Contributor"
	regex.match(`^/subscriptions/[^/]+$`, object.get(r.values, "scope", ""))
}

# What cannot be seen cannot be mended.

deny contains complaint(r, "telemetry sampled away: sampling_percentage is above 0") if {
	some r in of_type("azurerm_application_insights")
	r.values.sampling_percentage <= 0
}

deny contains complaint(r, "tells nobody") if {
	some r in of_type("azurerm_consumption_budget_subscription")
	some n in r.values.notification
	count(n.contact_emails) == 0
}

deny contains "no budget on the subscription" if {
	some type in {"azurerm_function_app_flex_consumption", "azurerm_container_app"}
	count(of_type(type)) > 0
	count(of_type("azurerm_consumption_budget_subscription")) == 0
}

# What a plan would change. The provider does not read AzureWebJobsStorage back, so it plans to set it,
# each time; that alone is no change.

change contains c.address if {
	some c in input.resource_changes
	not c.change.actions in {["no-op"], ["read"]}
	not unread_setting_only(c)
}

unread_setting_only(c) if {
	c.type == "azurerm_function_app_flex_consumption"
	c.change.actions == ["update"]
	not c.change.after_unknown.app_settings
	object.remove(c.change.before, ["app_settings"]) == object.remove(c.change.after, ["app_settings"])
	known(c.change.before) == known(c.change.after)
}

known(app) := object.remove(object.get(app, "app_settings", {}), ["AzureWebJobsStorage"])
