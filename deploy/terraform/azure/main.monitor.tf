resource "azurerm_log_analytics_workspace" "this" {
  name                         = "log-${local.id}"
  resource_group_name          = azurerm_resource_group.this.name
  location                     = azurerm_resource_group.this.location
  sku                          = "PerGB2018"
  retention_in_days            = var.log_retention_days
  daily_quota_gb               = var.log_daily_quota_gb
  local_authentication_enabled = false
  tags                         = var.tags
}

resource "azurerm_application_insights" "this" {
  name                         = "appi-${local.id}"
  resource_group_name          = azurerm_resource_group.this.name
  location                     = azurerm_resource_group.this.location
  workspace_id                 = azurerm_log_analytics_workspace.this.id
  application_type             = "other"
  retention_in_days            = var.log_retention_days
  sampling_percentage          = 100 # the app samples, whole traces at a time
  daily_data_cap_in_gb         = var.log_daily_quota_gb
  local_authentication_enabled = false
  ip_masking_enabled           = true
  tags                         = var.tags
}

locals {
  # What is logged of each service. Key Vault's audit events say who read which secret.
  diagnostics = merge(
    {
      vault     = { id = module.vault.id, logs = ["AuditEvent"] }
      signalr   = { id = azurerm_signalr_service.this.id, logs = ["AllLogs"] }
      functions = { id = azurerm_function_app_flex_consumption.this.id, logs = ["FunctionAppLogs"] }
      blobs     = { id = "${azurerm_storage_account.this.id}/blobServices/default", logs = ["StorageRead", "StorageWrite", "StorageDelete"] }
    },
    local.has_database ? {
      database = { id = azurerm_mssql_database.this[0].id, logs = ["Errors", "Timeouts", "Deadlocks"] }
      audit    = { id = "${azurerm_mssql_server.this[0].id}/databases/master", logs = ["SQLSecurityAuditEvents"] }
    } : {},
  )
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = local.diagnostics

  name                       = "to-log-analytics"
  target_resource_id         = each.value.id
  log_analytics_workspace_id = azurerm_log_analytics_workspace.this.id

  dynamic "enabled_log" {
    for_each = each.value.logs

    content {
      category = enabled_log.value
    }
  }

  enabled_metric {
    category = each.key == "blobs" ? "Transaction" : each.key == "database" || each.key == "audit" ? "Basic" : "AllMetrics"
  }
}
