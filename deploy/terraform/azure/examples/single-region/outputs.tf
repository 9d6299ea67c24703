output "resource_group_name" {
  value       = module.causeway.resource_group_name
  description = "Name of the resource group."
}

output "key_vault_id" {
  value       = module.causeway.key_vault_id
  description = "What azure_key_vault_id wants for updates."
}

output "function_app_name" {
  value       = module.causeway.function_app_name
  description = "Where the package is deployed."
}

output "static_site_name" {
  value       = module.causeway.static_site_name
  description = "Where the pages are deployed."
}

output "static_site_url" {
  value       = module.causeway.static_site_url
  description = "What people open."
}

output "database_server" {
  value       = module.causeway.database_server
  description = "Host name of the database server."
}

output "bootstrap_sql" {
  value       = module.causeway.bootstrap_sql
  description = "What an administrator runs once in the database (tofu output -raw bootstrap_sql)."
}

output "regions" {
  value = [{
    name    = var.location
    api     = module.causeway.function_app_url
    signalr = module.causeway.signalr_url
  }]
  description = "The regions, for the pages' list (deploy/site/render.mjs)."
}
