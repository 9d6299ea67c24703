output "id" {
  value       = azurerm_key_vault.this.id
  description = "Id of the vault."
}

output "signing_key_reference" {
  value       = "azurekv:${azurerm_key_vault.this.name}/${azurerm_key_vault_secret.signing.name}"
  description = "Reference to the signing key, for CAUSEWAY_SIGNING_KEY."
}

output "signing_key_id" {
  value       = azurerm_key_vault_secret.signing.versionless_id
  description = "URI of the signing key, without a version."
}

output "metered_key_reference" {
  value       = one([for s in azurerm_key_vault_secret.metered : "azurekv:${azurerm_key_vault.this.name}/${s.name}"])
  description = "Reference to Metered's key, null where there is none."
}

output "metered_key_id" {
  value       = one(azurerm_key_vault_secret.metered[*].versionless_id)
  description = "URI of Metered's key, without a version; null where there is none."
}
