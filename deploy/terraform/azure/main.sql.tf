# Statistics and budgets. People of one Entra group administer the server, and no password exists.
# The app's user is made by sql/bootstrap.sql, by its identity's SID: that needs no directory rights.

locals {
  has_database = var.database_sku != null
}

resource "azurerm_mssql_server" "this" {
  count = local.has_database ? 1 : 0

  name                          = "sql-${local.id}"
  resource_group_name           = azurerm_resource_group.this.name
  location                      = azurerm_resource_group.this.location
  version                       = "12.0"
  minimum_tls_version           = "1.2"
  public_network_access_enabled = true # through the rules below; a private endpoint costs more than the database
  tags                          = var.tags

  azuread_administrator {
    login_username              = var.database_administrators.name
    object_id                   = var.database_administrators.object_id
    tenant_id                   = local.tenant_id
    azuread_authentication_only = true
  }
}

resource "azurerm_mssql_database" "this" {
  count = local.has_database ? 1 : 0

  name                 = "causeway"
  server_id            = azurerm_mssql_server.this[0].id
  sku_name             = var.database_sku
  max_size_gb          = var.database_max_size_gb
  storage_account_type = "Local"
  tags                 = var.tags

  lifecycle {
    prevent_destroy = false # statistics only; docs/azure.md says how to keep them
  }
}

resource "azurerm_mssql_virtual_network_rule" "functions" {
  count = local.has_database ? 1 : 0

  name      = "functions"
  server_id = azurerm_mssql_server.this[0].id
  subnet_id = azurerm_subnet.functions.id
}

resource "azurerm_mssql_firewall_rule" "team" {
  count = local.has_database && var.public_ip_address_of_it_team != null ? 1 : 0

  name             = "it-team"
  server_id        = azurerm_mssql_server.this[0].id
  start_ip_address = var.public_ip_address_of_it_team
  end_ip_address   = var.public_ip_address_of_it_team
}

# To the master database's diagnostic setting, in main.monitor.tf.
resource "azurerm_mssql_server_extended_auditing_policy" "this" {
  count = local.has_database ? 1 : 0

  server_id              = azurerm_mssql_server.this[0].id
  log_monitoring_enabled = true
}

locals {
  # A SID of type E is the 16 bytes of the client id, its first three groups little-endian.
  client_id = split("-", azurerm_user_assigned_identity.app.client_id)
  app_sid = upper(join("", [
    join("", reverse(regexall("..", local.client_id[0]))),
    join("", reverse(regexall("..", local.client_id[1]))),
    join("", reverse(regexall("..", local.client_id[2]))),
    local.client_id[3],
    local.client_id[4],
  ]))
}
