output "resource_group_name" {
  value       = azurerm_resource_group.this.name
  description = "Name of the resource group."
}

output "resource_group_id" {
  value       = azurerm_resource_group.this.id
  description = "Id of the resource group."
}

output "key_vault_id" {
  value       = module.vault.id
  description = "Id of the vault: what azure_key_vault_id wants for updates."
}

output "function_app_id" {
  value       = azurerm_function_app_flex_consumption.this.id
  description = "Id of the function app."
}

output "function_app_name" {
  value       = azurerm_function_app_flex_consumption.this.name
  description = "Name of the function app, to which the package is deployed."
}

output "function_app_url" {
  value       = local.function_app_url
  description = "Where the API is."
}

output "signalr_url" {
  value       = "https://${azurerm_signalr_service.this.hostname}"
  description = "Where browsers connect to; part of the pages' content security policy."
}

output "static_site_name" {
  value       = one(azurerm_static_web_app.this[*].name)
  description = "Name of the static site, null where there is none."
}

output "static_site_url" {
  value       = one([for s in azurerm_static_web_app.this : "https://${s.default_host_name}"])
  description = "Where the pages are, null where there are none."
}

output "database_server" {
  value       = one(azurerm_mssql_server.this[*].fully_qualified_domain_name)
  description = "Host name of the database server, null where there is none."
}

output "bootstrap_sql" {
  value = templatefile("${path.module}/sql/bootstrap.sql.tftpl", {
    app_name = azurerm_user_assigned_identity.app.name
    app_sid  = local.app_sid
  })
  description = "What an administrator runs once in the database, so that the app can use it."
}
