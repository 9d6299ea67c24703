output "resource_group_name" {
  value       = azurerm_resource_group.this.name
  description = "Name of the resource group."
}

output "key_vault_id" {
  value       = module.vault.id
  description = "Id of the vault: what azure_key_vault_id wants for updates."
}

output "container_app_name" {
  value       = azurerm_container_app.this.name
  description = "Name of the container app."
}

output "identity_principal_id" {
  value       = azurerm_user_assigned_identity.app.principal_id
  description = "Object id of the app's identity, for AcrPull on a registry of yours."
}

output "url" {
  value       = "https://${azurerm_container_app.this.ingress[0].fqdn}"
  description = "What people open."
}
