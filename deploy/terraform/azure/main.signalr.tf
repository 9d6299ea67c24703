resource "azurerm_signalr_service" "this" {
  name                                     = "sigr-${local.id}"
  resource_group_name                      = azurerm_resource_group.this.name
  location                                 = azurerm_resource_group.this.location
  service_mode                             = "Serverless"
  local_auth_enabled                       = false # no access keys: identities only
  aad_auth_enabled                         = true
  connectivity_logs_enabled                = true
  messaging_logs_enabled                   = false # one line a message
  http_request_logs_enabled                = true
  serverless_connection_timeout_in_seconds = 30
  tags                                     = var.tags

  sku {
    name     = var.signalr_sku.name
    capacity = var.signalr_sku.capacity
  }

  identity {
    type = "SystemAssigned"
  }

  cors {
    allowed_origins = local.site_origins
  }

  upstream_endpoint {
    url_template     = "${local.function_app_url}/api/signalr"
    hub_pattern      = ["*"]
    category_pattern = ["*"]
    event_pattern    = ["*"]
    # Misnamed in the provider: it is sent as the token's audience. The identity is the service's own.
    user_assigned_identity_id = var.upstream_audience
  }

  lifecycle {
    # Autoscale changes it, and lowering it would end connections. Otherwise: az signalr update --unit-count.
    ignore_changes = [sku[0].capacity]
  }
}

resource "azurerm_monitor_autoscale_setting" "signalr" {
  count = var.signalr_autoscale_maximum == null ? 0 : 1

  name                = "autoscale-sigr-${local.id}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  target_resource_id  = azurerm_signalr_service.this.id
  tags                = var.tags

  profile {
    name = "connections"

    capacity {
      default = var.signalr_sku.capacity
      minimum = var.signalr_sku.capacity
      maximum = var.signalr_autoscale_maximum
    }

    rule {
      metric_trigger {
        metric_name        = "ConnectionQuotaUtilization"
        metric_resource_id = azurerm_signalr_service.this.id
        operator           = "GreaterThan"
        threshold          = 70
        statistic          = "Max"
        time_aggregation   = "Maximum"
        time_grain         = "PT1M"
        time_window        = "PT5M"
      }

      scale_action {
        direction = "Increase"
        type      = "ServiceAllowedNextValue"
        value     = 1
        cooldown  = "PT5M"
      }
    }

    rule {
      metric_trigger {
        metric_name        = "ConnectionQuotaUtilization"
        metric_resource_id = azurerm_signalr_service.this.id
        operator           = "LessThan"
        threshold          = 20
        statistic          = "Max"
        time_aggregation   = "Maximum"
        time_grain         = "PT1M"
        time_window        = "PT30M"
      }

      scale_action {
        direction = "Decrease"
        type      = "ServiceAllowedNextValue"
        value     = 1
        cooldown  = "PT30M"
      }
    }
  }
}
