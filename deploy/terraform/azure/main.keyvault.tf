module "vault" {
  source = "./modules/vault"

  name                = "kv-${local.id}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tenant_id           = local.tenant_id
  sku_name            = var.key_vault_sku
  ip_addresses        = concat(local.team_addresses, var.agent_ip_addresses)
  subnet_ids          = [azurerm_subnet.functions.id]
  readers             = merge({ app = azurerm_user_assigned_identity.app.principal_id }, var.planners)
  writers             = var.deployers
  role_propagation    = var.role_propagation
  has_metered_key     = var.metered_app != null
  metered_key         = var.metered_key
  metered_key_version = var.metered_key_version
  azure_key_vault_id  = var.azure_key_vault_id
  signing_key         = var.signing_key
  signing_key_version = var.signing_key_version
  tags                = var.tags
}
