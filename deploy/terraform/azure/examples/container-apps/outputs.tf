output "url" {
  value       = module.causeway.url
  description = "What people open."
}

output "key_vault_id" {
  value       = module.causeway.key_vault_id
  description = "What azure_key_vault_id wants for updates."
}

output "container_app_name" {
  value       = module.causeway.container_app_name
  description = "Name of the container app."
}

output "resource_group_name" {
  value       = module.causeway.resource_group_name
  description = "Name of the resource group."
}
