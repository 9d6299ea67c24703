# Who may do what. The app's identity reads secrets, speaks for SignalR, keeps its package and
# reports telemetry; it writes no secret and administers nothing. Who reads and writes secrets is
# said to modules/vault (main.keyvault.tf).

resource "azurerm_role_assignment" "app_signalr" {
  scope                = azurerm_signalr_service.this.id
  role_definition_name = "SignalR Service Owner"
  principal_id         = azurerm_user_assigned_identity.app.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "app_storage" {
  scope                = azurerm_storage_account.this.id
  role_definition_name = "Storage Blob Data Owner"
  principal_id         = azurerm_user_assigned_identity.app.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "app_telemetry" {
  scope                = azurerm_application_insights.this.id
  role_definition_name = "Monitoring Metrics Publisher"
  principal_id         = azurerm_user_assigned_identity.app.principal_id
  principal_type       = "ServicePrincipal"
}
