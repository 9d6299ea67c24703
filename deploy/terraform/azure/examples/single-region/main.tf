# Causeway in one region, as it was published: West Europe, pages on a static site, signaling in a
# function app, realtime by SignalR Service. Set up by two commands, once terraform.tfvars is written
# (terraform.tfvars.example):
#
#   tofu plan -var metered_key=… -out=set-up.plan
#   tofu apply -var metered_key=… set-up.plan
#
# The key is in neither the plan nor the state. For updates give azure_key_vault_id in its place.

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
}

module "causeway" {
  source = "../.."

  resourcegroup = var.resourcegroup
  suffix        = var.suffix
  location      = var.location

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
  signing_key_version           = var.signing_key_version
  role_propagation              = var.role_propagation
  key_vault_sku                 = var.key_vault_sku
  signalr_sku                   = coalesce(var.signalr_sku, local.size.signalr_sku)
  signalr_autoscale_maximum     = var.signalr_sku == null ? local.size.signalr_maximum : var.signalr_autoscale_maximum
  database_sku                  = coalesce(var.database_sku, local.size.database_sku)
  database_max_size_gb          = coalesce(var.database_max_size_gb, local.size.database_gb)
  function_always_ready         = local.size.always_ready
  static_site_sku               = local.size.static_site_sku
  storage_replication           = local.size.storage_replication
  log_retention_days            = local.size.log_retention_days
  telemetry_sampling_percentage = var.telemetry_sampling_percentage
  site_origins                  = var.site_origins
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
