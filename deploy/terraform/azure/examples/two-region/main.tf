# Causeway in Europe and North America, both at work at once. Each region is whole: it has its own
# function app, SignalR Service, vault, database and logs, and needs nothing of the other. There is
# no shared front: the pages hold the list of regions, and go to the next when one fails. What the
# regions share is the signing key, so that each believes the other's links.
#
# Set up like the single region, by two commands:
#
#   tofu plan -var metered_key=… -out=set-up.plan
#   tofu apply -var metered_key=… set-up.plan

locals {
  sizes = {
    development = {
      signalr_sku         = { name = "Free_F1", capacity = 1 }
      signalr_maximum     = null
      database_sku        = "Basic"
      database_gb         = 2
      static_site_sku     = "Free"
      storage_replication = "LRS"
      always_ready        = 0
      log_retention_days  = 30
    }
    production = {
      signalr_sku         = { name = "Premium_P1", capacity = 1 }
      signalr_maximum     = 10
      database_sku        = "S0"
      database_gb         = 50
      static_site_sku     = "Standard"
      storage_replication = "ZRS"
      always_ready        = 1
      log_retention_days  = 90
    }
  }
  size = local.sizes[var.environment]

  # In the order of var.regions, which is the order of each session's alternatives. A region's host name is known
  # before it is there, and has to be: each wants to know all.
  regions = [for r in var.regions : {
    name = r.name
    url  = "https://func-causeway${var.suffix}${r.name}.azurewebsites.net"
  }]

  # One key for all, made at random when it is written, and kept nowhere but in the vaults.
  signing_key = base64sha256("${uuid()}${uuid()}")
}

# The pages, once. Their files are served from everywhere; once loaded they need no site.
resource "azurerm_resource_group" "site" {
  name     = "${var.resourcegroup}${var.suffix}site"
  location = "westeurope"
}

resource "azurerm_static_web_app" "site" {
  name                         = "stapp-causeway${var.suffix}"
  resource_group_name          = azurerm_resource_group.site.name
  location                     = azurerm_resource_group.site.location
  sku_tier                     = local.size.static_site_sku
  sku_size                     = local.size.static_site_sku
  preview_environments_enabled = false

  lifecycle {
    ignore_changes = [repository_branch, repository_url] # set by deployment
  }
}

module "region" {
  source   = "../.."
  for_each = { for r in var.regions : r.name => r }

  resourcegroup = var.resourcegroup
  suffix        = "${var.suffix}${each.key}"
  location      = each.value.location
  address_space = each.value.address_space
  region        = each.key
  regions       = local.regions

  database_administrators       = var.database_administrators
  deployers                     = var.deployers
  planners                      = var.planners
  upstream_audience             = var.upstream_audience
  public_ip_address_of_it_team  = var.public_ip_address_of_it_team
  agent_ip_addresses            = var.agent_ip_addresses
  metered_app                   = var.metered_app
  metered_key                   = var.metered_key
  metered_key_version           = var.metered_key_version
  azure_key_vault_id            = var.azure_key_vault_id
  signing_key                   = local.signing_key
  signing_key_version           = var.signing_key_version
  role_propagation              = var.role_propagation
  signalr_sku                   = local.size.signalr_sku
  signalr_autoscale_maximum     = local.size.signalr_maximum
  database_sku                  = local.size.database_sku
  database_max_size_gb          = local.size.database_gb
  function_always_ready         = local.size.always_ready
  static_site_sku               = null
  storage_replication           = local.size.storage_replication
  log_retention_days            = local.size.log_retention_days
  telemetry_sampling_percentage = var.telemetry_sampling_percentage
  site_origins                  = concat(["https://${azurerm_static_web_app.site.default_host_name}"], var.site_origins)
  app_settings                  = var.app_settings
}

module "budget" {
  source = "../../modules/budget"

  name            = "budget-causeway${var.suffix}"
  subscription_id = var.subscription_id
  amount          = var.monthly_budget
  start_date      = var.budget_start
  contact_emails  = var.budget_contacts
}
