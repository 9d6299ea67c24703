# Causeway's one binary on Azure Container Apps. The binary holds the sockets itself, so SignalR
# Service is not needed; one replica holds all sessions, so there is exactly one.
#
# The ingress passes HTTP and WebSockets. It passes no UDP: the built-in relay is off, and TURN comes
# from Metered, or from a Causeway relay on a virtual machine elsewhere (docs/azure.md).

data "azurerm_client_config" "current" {}

locals {
  guid = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

  id = "${var.name}${var.suffix}"

  team_addresses = var.public_ip_address_of_it_team == null ? [] : [var.public_ip_address_of_it_team]

  settings = merge(
    {
      CAUSEWAY_LISTEN        = ":8080"
      CAUSEWAY_TURN_LISTEN   = "off"
      CAUSEWAY_LOG_FORMAT    = "json"
      CAUSEWAY_STATS         = "off" # a file in the container would go with it; give a database by app_settings
      CAUSEWAY_SIGNING_KEY   = "env:SIGNING_KEY"
      CAUSEWAY_TRUSTED_PROXY = "${var.address_space},100.100.0.0/17" # the environment's ingress: its subnet, and what Azure keeps for it
    },
    var.metered_app == null ? {} : {
      CAUSEWAY_PROVIDER = jsonencode([{ name = "metered", type = "metered", app = var.metered_app, price = var.metered_price, secret = "env:METERED_KEY" }])
    },
    var.app_settings,
  )
}

resource "azurerm_resource_group" "this" {
  name     = "${var.resourcegroup}${var.suffix}"
  location = var.location
  tags     = var.tags
}

resource "azurerm_user_assigned_identity" "app" {
  name                = "id-${local.id}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

resource "azurerm_virtual_network" "this" {
  name                = "vnet-${local.id}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  address_space       = [var.address_space]
  tags                = var.tags
}

resource "azurerm_subnet" "apps" {
  name                 = "apps"
  resource_group_name  = azurerm_resource_group.this.name
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [var.address_space]

  service_endpoint {
    service = "Microsoft.KeyVault"
  }

  delegation {
    name = "apps"

    service_delegation {
      name    = "Microsoft.App/environments"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }
}

module "vault" {
  source = "../vault"

  name                = "kv-${local.id}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tenant_id           = data.azurerm_client_config.current.tenant_id
  ip_addresses        = concat(local.team_addresses, var.agent_ip_addresses)
  subnet_ids          = [azurerm_subnet.apps.id]
  readers             = merge({ app = azurerm_user_assigned_identity.app.principal_id }, var.planners)
  writers             = var.deployers
  role_propagation    = var.role_propagation
  has_metered_key     = var.metered_app != null
  metered_key         = var.metered_key
  metered_key_version = var.metered_key_version
  azure_key_vault_id  = var.azure_key_vault_id
  signing_key_version = var.signing_key_version
  tags                = var.tags
}

resource "azurerm_log_analytics_workspace" "this" {
  name                = "log-${local.id}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  sku                 = "PerGB2018"
  retention_in_days   = var.log_retention_days
  daily_quota_gb      = var.log_daily_quota_gb
  tags                = var.tags
}

resource "azurerm_container_app_environment" "this" {
  name                     = "cae-${local.id}"
  resource_group_name      = azurerm_resource_group.this.name
  location                 = azurerm_resource_group.this.location
  logs_destination         = "azure-monitor" # no workspace key, which log-analytics would want
  infrastructure_subnet_id = azurerm_subnet.apps.id
  tags                     = var.tags

  workload_profile {
    name                  = "Consumption"
    workload_profile_type = "Consumption"
  }

  lifecycle {
    ignore_changes = [infrastructure_resource_group_name] # Azure names it
  }
}

resource "azurerm_role_assignment" "app_registry" {
  count = var.registry_id == null ? 0 : 1

  scope                = var.registry_id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_user_assigned_identity.app.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_container_app" "this" {
  name                         = "ca-${local.id}"
  resource_group_name          = azurerm_resource_group.this.name
  container_app_environment_id = azurerm_container_app_environment.this.id
  revision_mode                = "Single"
  workload_profile_name        = "Consumption"
  tags                         = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.app.id]
  }

  secret {
    name                = "signing-key"
    key_vault_secret_id = module.vault.signing_key_id
    identity            = azurerm_user_assigned_identity.app.id
  }

  dynamic "secret" {
    for_each = var.metered_app == null ? [] : [module.vault.metered_key_id]

    content {
      name                = "metered-key"
      key_vault_secret_id = secret.value
      identity            = azurerm_user_assigned_identity.app.id
    }
  }

  dynamic "registry" {
    for_each = var.registry_server == null ? [] : [var.registry_server]

    content {
      server   = registry.value
      identity = azurerm_user_assigned_identity.app.id
    }
  }

  ingress {
    external_enabled           = true
    allow_insecure_connections = false
    target_port                = 8080
    transport                  = "auto"

    traffic_weight {
      latest_revision = true
      percentage      = 100
    }
  }

  template {
    min_replicas                     = 1
    max_replicas                     = 1
    termination_grace_period_seconds = 60

    container {
      name   = "causeway"
      image  = var.image
      cpu    = var.cpu
      memory = var.memory
      args   = ["serve"]

      env {
        name        = "SIGNING_KEY"
        secret_name = "signing-key"
      }

      dynamic "env" {
        for_each = local.settings

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.metered_app == null ? [] : [1]

        content {
          name        = "METERED_KEY"
          secret_name = "metered-key"
        }
      }

      startup_probe {
        transport = "HTTP"
        path      = "/readyz"
        port      = 8080
      }

      readiness_probe {
        transport = "HTTP"
        path      = "/readyz"
        port      = 8080
      }

      liveness_probe {
        transport = "HTTP"
        path      = "/healthz"
        port      = 8080
      }
    }
  }

  depends_on = [azurerm_role_assignment.app_registry]

  lifecycle {
    ignore_changes = [template[0].container[0].image] # the pipeline puts new ones there
  }
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = {
    vault = { id = module.vault.id, logs = ["AuditEvent"] }
    apps  = { id = azurerm_container_app_environment.this.id, logs = ["ContainerAppConsoleLogs", "ContainerAppSystemLogs"] }
  }

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
    category = "AllMetrics"
  }
}
