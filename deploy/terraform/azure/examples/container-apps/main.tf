# Causeway's one binary on Azure Container Apps: the least that runs on Azure, and the shortest chain
# of services. Set up like the single region, by two commands:
#
#   tofu plan -var metered_key=… -out=set-up.plan
#   tofu apply -var metered_key=… set-up.plan

module "causeway" {
  source = "../../modules/container-app"

  resourcegroup                = var.resourcegroup
  suffix                       = var.suffix
  location                     = var.location
  image                        = var.image
  registry_server              = var.registry_server
  registry_id                  = var.registry_id
  app_settings                 = var.app_settings
  deployers                    = var.deployers
  planners                     = var.planners
  public_ip_address_of_it_team = var.public_ip_address_of_it_team
  agent_ip_addresses           = var.agent_ip_addresses
  metered_app                  = var.metered_app
  metered_key                  = var.metered_key
  metered_key_version          = var.metered_key_version
  azure_key_vault_id           = var.azure_key_vault_id
  signing_key_version          = var.signing_key_version
  role_propagation             = var.role_propagation
}

module "budget" {
  source = "../../modules/budget"

  name            = "budget-causeway${var.suffix}"
  subscription_id = var.subscription_id
  amount          = var.monthly_budget
  start_date      = var.budget_start
  contact_emails  = var.budget_contacts
}
