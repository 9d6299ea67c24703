resource "azurerm_service_plan" "this" {
  name                = "plan-${local.id}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  os_type             = "Linux"
  sku_name            = "FC1" # Flex Consumption: Linux Consumption (Y1) retires in September 2028
  tags                = var.tags
}

resource "azurerm_function_app_flex_consumption" "this" {
  name                = local.function_app_name
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  service_plan_id     = azurerm_service_plan.this.id

  runtime_name    = "custom"
  runtime_version = "1.0"

  storage_container_type            = "blobContainer"
  storage_container_endpoint        = "${azurerm_storage_account.this.primary_blob_endpoint}${azurerm_storage_container.packages.name}"
  storage_authentication_type       = "UserAssignedIdentity"
  storage_user_assigned_identity_id = azurerm_user_assigned_identity.app.id

  instance_memory_in_mb  = var.function_memory_mb
  maximum_instance_count = var.function_maximum_instances

  https_only                                     = true
  webdeploy_publish_basic_authentication_enabled = false
  virtual_network_subnet_id                      = azurerm_subnet.functions.id
  tags                                           = var.tags

  app_settings = merge(local.host_settings, local.causeway_settings, var.app_settings)

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.app.id]
  }

  site_config {
    application_insights_connection_string = azurerm_application_insights.this.connection_string
    http2_enabled                          = true
    minimum_tls_version                    = "1.2"
    scm_minimum_tls_version                = "1.2"
    remote_debugging_enabled               = false
    vnet_route_all_enabled                 = false

    # No cors here: the app has its own (CAUSEWAY_API_ORIGIN), which lets pages read Retry-After, too, and
    # the platform's would take its place.
  }

  dynamic "always_ready" {
    for_each = var.function_always_ready > 0 ? [var.function_always_ready] : []

    content {
      name           = "http"
      instance_count = always_ready.value
    }
  }

  # What it may do comes first: its package is in the storage account.
  depends_on = [azurerm_role_assignment.app_storage]
}

locals {
  # The Functions host reaches storage and Application Insights as the app's identity, too. The empty
  # setting stands against the provider, which would send one with an empty key.
  host_settings = {
    AzureWebJobsStorage                       = ""
    AzureWebJobsStorage__accountName          = azurerm_storage_account.this.name
    AzureWebJobsStorage__credential           = "managedidentity"
    AzureWebJobsStorage__clientId             = azurerm_user_assigned_identity.app.client_id
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "ClientId=${azurerm_user_assigned_identity.app.client_id};Authorization=AAD"
  }

  causeway_settings = merge(
    {
      AzureSignalRConnectionString = "Endpoint=https://${azurerm_signalr_service.this.hostname};AuthType=azure.msi;ClientId=${azurerm_user_assigned_identity.app.client_id};Version=1.0;"

      CAUSEWAY_IDENTITY_CLIENT_ID = azurerm_user_assigned_identity.app.client_id
      CAUSEWAY_SIGNING_KEY        = module.vault.signing_key_reference
      CAUSEWAY_UPSTREAM_TENANT    = local.tenant_id
      CAUSEWAY_UPSTREAM_AUDIENCE  = var.upstream_audience
      CAUSEWAY_UPSTREAM_IDENTITY  = azurerm_signalr_service.this.identity[0].principal_id

      CAUSEWAY_TELEMETRY_SAMPLING = tostring(var.telemetry_sampling_percentage)

      CAUSEWAY_STATS = local.has_database ? "sqlserver://${azurerm_user_assigned_identity.app.client_id}@${azurerm_mssql_server.this[0].fully_qualified_domain_name}?database=${azurerm_mssql_database.this[0].name}&fedauth=ActiveDirectoryManagedIdentity" : "off"
    },
    var.metered_app == null ? {} : {
      CAUSEWAY_PROVIDER = jsonencode([merge(
        { name = "metered", type = "metered", app = var.metered_app, price = var.metered_price, secret = module.vault.metered_key_reference },
        var.metered_region == null ? {} : { region = var.metered_region },
      )])
    },
    length(local.site_origins) == 0 ? {} : {
      CAUSEWAY_PUBLIC_URL = local.site_origins[0]
      CAUSEWAY_API_ORIGIN = join(",", local.site_origins)
    },
    var.region == null ? {} : {
      CAUSEWAY_REGION  = var.region
      CAUSEWAY_REGIONS = join(",", [for r in var.regions : "${r.name}=${r.url}"])
    },
  )
}
