# A vault that opens by role, to few addresses, and its two secrets. Whoever reads them reads them by
# reference (azurekv:vault/name); their values are in neither the plan nor the state.

resource "azurerm_key_vault" "this" {
  name                       = var.name
  resource_group_name        = var.resource_group_name
  location                   = var.location
  tenant_id                  = var.tenant_id
  sku_name                   = var.sku_name
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 7
  tags                       = var.tags

  network_acls {
    default_action             = "Deny"
    bypass                     = "None"
    ip_rules                   = [for a in var.ip_addresses : "${a}/32"]
    virtual_network_subnet_ids = var.subnet_ids
  }
}

resource "azurerm_role_assignment" "reader" {
  for_each = var.readers

  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = each.value
}

resource "azurerm_role_assignment" "writer" {
  for_each = var.writers

  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = each.value
}

# Azure takes minutes to believe in a role.
resource "time_sleep" "roles" {
  create_duration = var.role_propagation

  triggers = {
    vault = azurerm_key_vault.this.id
    roles = join(",", [for r in azurerm_role_assignment.writer : r.id])
  }
}

# Without metered_key the key goes from vault to vault, through memory only.
ephemeral "azurerm_key_vault_secret" "metered" {
  count = var.azure_key_vault_id == null ? 0 : 1

  name         = "meteredkey"
  key_vault_id = var.azure_key_vault_id
}

resource "azurerm_key_vault_secret" "metered" {
  count = var.has_metered_key ? 1 : 0

  name             = "meteredkey"
  key_vault_id     = azurerm_key_vault.this.id
  value_wo         = var.metered_key != null ? var.metered_key : one(ephemeral.azurerm_key_vault_secret.metered[*].value)
  value_wo_version = var.metered_key_version
  content_type     = "Metered's secret key"
  tags             = var.tags

  depends_on = [time_sleep.roles]
}

resource "azurerm_key_vault_secret" "signing" {
  name         = "signingkey"
  key_vault_id = azurerm_key_vault.this.id
  # Two random UUIDs have 244 random bits; their hash has the 32 bytes that are wanted.
  value_wo         = var.signing_key == null ? base64sha256("${uuid()}${uuid()}") : var.signing_key
  value_wo_version = var.signing_key_version
  content_type     = "32 bytes, base64, that sign links and grants"
  tags             = var.tags

  depends_on = [time_sleep.roles]
}
