# The pipelines' identities and the state's storage, set up once by a person, after the first apply
# of an example made the resource groups. docs/azure.md says when.

module "delivery" {
  source = "../../modules/delivery"

  suffix             = var.suffix
  issuer             = var.issuer
  subjects           = var.subjects
  scopes             = var.scopes
  container_apps     = var.container_apps
  registries         = var.registries
  agent_ip_addresses = var.agent_ip_addresses
}
