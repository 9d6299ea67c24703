output "client_ids" {
  value       = { for k, i in azurerm_user_assigned_identity.this : k => i.client_id }
  description = "Client ids, for the pipelines' logins. No secrets."
}

output "object_ids" {
  value       = { for k, i in azurerm_user_assigned_identity.this : k => i.principal_id }
  description = "Object ids: plan goes to planners, apply to deployers."
}

output "backend" {
  value = {
    storage_account_name = azurerm_storage_account.state.name
    container_name       = azurerm_storage_container.state.name
    use_azuread_auth     = "true"
    use_oidc             = "true"
  }
  description = "What tofu init -backend-config wants, besides a key."
}
