# What the module makes of its defaults. The provider is mocked; it still checks each value as it would.

mock_provider "azurerm" {
  mock_data "azurerm_client_config" {
    defaults = {
      tenant_id = "00000000-0000-0000-0000-0000000000bb"
      object_id = "00000000-0000-0000-0000-0000000000dd"
    }
  }

  mock_resource "azurerm_resource_group" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst" }
  }

  mock_resource "azurerm_user_assigned_identity" {
    defaults = {
      id           = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-causewaytst"
      client_id    = "00112233-4455-6677-8899-aabbccddeeff"
      principal_id = "00000000-0000-0000-0000-000000000011"
    }
  }

  mock_resource "azurerm_subnet" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Network/virtualNetworks/vnet-causewaytst/subnets/functions" }
  }

  mock_resource "azurerm_key_vault" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.KeyVault/vaults/kv-causewaytst" }
  }

  mock_resource "azurerm_storage_account" {
    defaults = {
      id                    = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Storage/storageAccounts/stcausewaytst"
      primary_blob_endpoint = "https://stcausewaytst.blob.core.windows.net/"
    }
  }

  mock_resource "azurerm_signalr_service" {
    defaults = {
      id       = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.SignalRService/signalR/sigr-causewaytst"
      hostname = "sigr-causewaytst.service.signalr.net"
    }
  }

  mock_resource "azurerm_service_plan" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Web/serverFarms/plan-causewaytst" }
  }

  mock_resource "azurerm_function_app_flex_consumption" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Web/sites/func-causewaytst" }
  }

  mock_resource "azurerm_static_web_app" {
    defaults = { default_host_name = "nice-sea-0123.azurestaticapps.net" }
  }

  mock_resource "azurerm_mssql_server" {
    defaults = {
      id                          = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Sql/servers/sql-causewaytst"
      fully_qualified_domain_name = "sql-causewaytst.database.windows.net"
    }
  }

  mock_resource "azurerm_mssql_database" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Sql/servers/sql-causewaytst/databases/causeway" }
  }

  mock_resource "azurerm_log_analytics_workspace" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.OperationalInsights/workspaces/log-causewaytst" }
  }

  mock_resource "azurerm_application_insights" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Insights/components/appi-causewaytst" }
  }
}

mock_provider "time" {}

variables {
  suffix                       = "tst"
  database_administrators      = { name = "database-admins", object_id = "00000000-0000-0000-0000-000000000003" }
  deployers                    = { me = "00000000-0000-0000-0000-000000000001" }
  upstream_audience            = "00000000-0000-0000-0000-000000000004"
  public_ip_address_of_it_team = "203.0.113.7"
  metered_app                  = "example"
  metered_key                  = "not-a-key"
}

run "serverless" {
  assert {
    condition     = azurerm_signalr_service.this.service_mode == "Serverless"
    error_message = "SignalR must be in Serverless mode."
  }

  assert {
    condition     = one(azurerm_signalr_service.this.upstream_endpoint).url_template == "https://func-causewaytst.azurewebsites.net/api/signalr"
    error_message = "The upstream is the function app's."
  }

  assert {
    condition     = alltrue([for p in ["hub_pattern", "category_pattern", "event_pattern"] : one(one(azurerm_signalr_service.this.upstream_endpoint)[p]) == "*"])
    error_message = "The upstream takes all hubs, categories and events."
  }

  assert {
    condition     = one(azurerm_signalr_service.this.upstream_endpoint).user_assigned_identity_id == var.upstream_audience
    error_message = "The provider's user_assigned_identity_id is the token's audience."
  }
}

run "identities_instead_of_keys" {
  assert {
    condition     = !azurerm_signalr_service.this.local_auth_enabled
    error_message = "SignalR's access keys are on."
  }

  assert {
    condition     = !azurerm_storage_account.this.shared_access_key_enabled
    error_message = "The storage account's shared keys are on."
  }

  assert {
    condition     = azurerm_mssql_server.this[0].azuread_administrator[0].azuread_authentication_only
    error_message = "The database server takes passwords."
  }

  assert {
    condition     = !azurerm_application_insights.this.local_authentication_enabled
    error_message = "Telemetry comes with a key."
  }

  assert {
    condition = toset([
      azurerm_role_assignment.app_signalr.role_definition_name,
      azurerm_role_assignment.app_storage.role_definition_name,
      azurerm_role_assignment.app_telemetry.role_definition_name,
    ]) == toset(["SignalR Service Owner", "Storage Blob Data Owner", "Monitoring Metrics Publisher"])
    error_message = "The app's identity has another role than these."
  }
}

run "app_settings" {
  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["AzureWebJobsStorage"] == ""
    error_message = "Unless it is set to nothing, the provider sends a connection string with an empty key."
  }

  assert {
    condition = azurerm_function_app_flex_consumption.this.app_settings["AzureSignalRConnectionString"] == join(";", [
      "Endpoint=https://sigr-causewaytst.service.signalr.net", "AuthType=azure.msi", "ClientId=00112233-4455-6677-8899-aabbccddeeff", "Version=1.0", "",
    ])
    error_message = "The SignalR service is reached by identity."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_SIGNING_KEY"] == "azurekv:kv-causewaytst/signingkey"
    error_message = "The signing key is a reference."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_STATS"] == "sqlserver://00112233-4455-6677-8899-aabbccddeeff@sql-causewaytst.database.windows.net?database=causeway&fedauth=ActiveDirectoryManagedIdentity"
    error_message = "The database is reached by identity."
  }

  assert {
    condition     = jsondecode(azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_PROVIDER"])[0].secret == "azurekv:kv-causewaytst/meteredkey"
    error_message = "Metered's key is a reference."
  }

  assert {
    condition     = !anytrue([for v in values(azurerm_function_app_flex_consumption.this.app_settings) : strcontains(v, "AccessKey") || strcontains(v, "AccountKey") || strcontains(v, "Password")])
    error_message = "A key is among the settings."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_API_ORIGIN"] == "https://nice-sea-0123.azurestaticapps.net"
    error_message = "Only the static site may call."
  }

  assert {
    condition     = length(azurerm_function_app_flex_consumption.this.site_config[0].cors) == 0
    error_message = "The platform's CORS would take the place of the app's own."
  }

  assert {
    condition     = !can(azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_REGION"]) && !can(azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_REGIONS"])
    error_message = "A deployment that is alone has no regions."
  }
}

run "names_have_the_suffix" {
  assert {
    condition = alltrue([for n in [
      azurerm_resource_group.this.name, azurerm_signalr_service.this.name, azurerm_function_app_flex_consumption.this.name, azurerm_storage_account.this.name,
      azurerm_service_plan.this.name, azurerm_mssql_server.this[0].name, azurerm_static_web_app.this[0].name, azurerm_log_analytics_workspace.this.name,
      azurerm_application_insights.this.name, azurerm_user_assigned_identity.app.name, azurerm_virtual_network.this.name,
    ] : endswith(n, "tst")])
    error_message = "A name without the suffix: a second deployment would collide with it."
  }
}

run "bootstrap_sql" {
  assert {
    condition     = local.app_sid == "33221100554477668899AABBCCDDEEFF"
    error_message = "A SID has the first three groups of the client id little-endian."
  }

  assert {
    condition     = strcontains(output.bootstrap_sql, "CREATE USER [id-causewaytst] WITH SID = 0x33221100554477668899AABBCCDDEEFF, TYPE = E")
    error_message = "The app's user is made by its SID."
  }
}

run "no_database" {
  variables {
    database_sku = null
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_STATS"] == "off"
    error_message = "Without a database there is no place for statistics."
  }

  assert {
    condition     = length(azurerm_mssql_server.this) == 0 && output.database_server == null
    error_message = "Without an SKU there is no database."
  }
}

run "premium_scales" {
  variables {
    signalr_sku               = { name = "Premium_P1", capacity = 2 }
    signalr_autoscale_maximum = 20
  }

  assert {
    condition     = azurerm_monitor_autoscale_setting.signalr[0].profile[0].capacity[0].maximum == 20 && azurerm_monitor_autoscale_setting.signalr[0].profile[0].capacity[0].minimum == 2
    error_message = "SignalR scales between its units and the maximum."
  }
}

run "regions" {
  variables {
    region = "us"
    regions = [
      { name = "us", url = "https://func-causewaytst.azurewebsites.net" },
      { name = "eu", url = "https://func-causewaytsteu.azurewebsites.net" },
    ]
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_REGION"] == "us"
    error_message = "A region knows which it is."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["CAUSEWAY_REGIONS"] == "us=https://func-causewaytst.azurewebsites.net,eu=https://func-causewaytsteu.azurewebsites.net"
    error_message = "The list is as given, in its order."
  }
}
