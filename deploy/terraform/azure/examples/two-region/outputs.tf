output "resource_group_names" {
  value       = { for name, r in module.region : name => r.resource_group_name }
  description = "Names of the regions' resource groups."
}

output "key_vault_id" {
  value       = module.region[var.regions[0].name].key_vault_id
  description = "What azure_key_vault_id wants for updates: the first region's vault."
}

output "function_app_names" {
  value       = { for name, r in module.region : name => r.function_app_name }
  description = "Where the package is deployed, region by region."
}

output "static_site_name" {
  value       = azurerm_static_web_app.site.name
  description = "Where the pages are deployed."
}

output "static_site_url" {
  value       = "https://${azurerm_static_web_app.site.default_host_name}"
  description = "What people open."
}

output "database_servers" {
  value       = { for name, r in module.region : name => r.database_server }
  description = "Host names of the database servers."
}

output "bootstrap_sql" {
  value       = { for name, r in module.region : name => r.bootstrap_sql }
  description = "What an administrator runs once in each region's database."
}

output "regions" {
  value = [for r in var.regions : {
    name    = r.name
    api     = module.region[r.name].function_app_url
    signalr = module.region[r.name].signalr_url
  }]
  description = "The regions in their order, for the pages' list (deploy/site/render.mjs)."
}
