# Who the pipelines are: four identities without a secret, each believed only when the pipeline's
# own issuer says that it runs for one environment of one repository.
#
#   plan    reads, and reads the vault's secrets (give its id to planners)
#   apply   changes the resource groups, gives only the roles below, and writes the vault's secrets
#           (give its id to deployers)
#   sign    signs releases, with a key that a person gives it the use of
#   deploy  puts packages into the function apps, pages onto the static site, images into registries and container
#           apps, and nothing else
#
# None of them is a database administrator, or can make itself one: role assignments are held to
# roles, and the database's administrators are a group in the directory, where they have no rights.

locals {
  kinds = {
    plan   = var.subjects.plan
    apply  = var.subjects.apply
    sign   = var.subjects.sign
    deploy = var.subjects.deploy
  }

  # What apply may give, to whom: the roles of main.roles.tf and modules/vault, to identities.
  givable = {
    "Key Vault Secrets Officer"    = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
    "Key Vault Secrets User"       = "4633458b-17de-408a-b874-0445c86b69e6"
    "Monitoring Metrics Publisher" = "3913510d-42f4-4e42-8a64-420c390055eb"
    "SignalR Service Owner"        = "7e4f1700-ea5a-4f59-8f37-079cfe29dce3"
    "Storage Blob Data Owner"      = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
  }
  guids = join(", ", sort(values(local.givable)))

  condition = <<-EOT
    (
     (
      !(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})
     )
     OR
     (
      @Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.guids}}
     )
    )
    AND
    (
     (
      !(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})
     )
     OR
     (
      @Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.guids}}
     )
    )
  EOT

  assignments = merge(
    { for name, scope in var.scopes : "plan reads ${name}" => { who = "plan", role = "Reader", scope = scope } },
    { for name, scope in var.scopes : "apply changes ${name}" => { who = "apply", role = "Contributor", scope = scope } },
    { for name, scope in var.scopes : "deploy to ${name}" => { who = "deploy", role = "Website Contributor", scope = scope } },
    { for name, id in var.container_apps : "deploy to container app ${name}" => { who = "deploy", role = "Container Apps Contributor", scope = id } },
    { for name, id in var.registries : "push to ${name}" => { who = "deploy", role = "AcrPush", scope = id } },
  )
}

resource "azurerm_resource_group" "this" {
  name     = "${var.resourcegroup}${var.suffix}"
  location = var.location
  tags     = var.tags
}

resource "azurerm_user_assigned_identity" "this" {
  for_each = local.kinds

  name                = "id-causeway${var.suffix}-${each.key}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

resource "azurerm_federated_identity_credential" "this" {
  for_each = local.kinds

  name                      = "pipeline"
  user_assigned_identity_id = azurerm_user_assigned_identity.this[each.key].id
  issuer                    = var.issuer
  subject                   = each.value
  audience                  = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_assignment" "this" {
  for_each = local.assignments

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.this[each.value.who].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "apply_roles" {
  for_each = var.scopes

  scope                = each.value
  role_definition_name = "Role Based Access Control Administrator"
  principal_id         = azurerm_user_assigned_identity.this["apply"].principal_id
  principal_type       = "ServicePrincipal"
  condition            = local.condition
  condition_version    = "2.0"
}

# The state: plan reads it, apply writes it. It has no secrets, but it says what there is.
resource "azurerm_storage_account" "state" {
  name                            = "sttf${var.suffix}"
  resource_group_name             = azurerm_resource_group.this.name
  location                        = azurerm_resource_group.this.location
  account_kind                    = "StorageV2"
  account_tier                    = "Standard"
  account_replication_type        = "GRS"
  min_tls_version                 = "TLS1_2"
  https_traffic_only_enabled      = true
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  allow_nested_items_to_be_public = false
  local_user_enabled              = false
  tags                            = var.tags

  network_rules {
    default_action = "Deny"
    bypass         = ["None"]
    ip_rules       = var.agent_ip_addresses
  }

  blob_properties {
    versioning_enabled = true

    delete_retention_policy {
      days = 30
    }
  }
}

resource "azurerm_storage_container" "state" {
  name                  = "tfstate"
  storage_account_id    = azurerm_storage_account.state.id
  container_access_type = "private"
}

# Plan locks the state, too: that is a write.
resource "azurerm_role_assignment" "state" {
  for_each = toset(["plan", "apply"])

  scope                = azurerm_storage_account.state.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.this[each.key].principal_id
  principal_type       = "ServicePrincipal"
}
