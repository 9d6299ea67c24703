# The pages. Their rules (routes, CSP, caching) are in deploy/site/staticwebapp.config.json, and go with them.
resource "azurerm_static_web_app" "this" {
  count = var.static_site_sku == null ? 0 : 1

  name                               = "stapp-${local.id}"
  resource_group_name                = azurerm_resource_group.this.name
  location                           = var.static_site_location
  sku_tier                           = var.static_site_sku
  sku_size                           = var.static_site_sku
  preview_environments_enabled       = false
  configuration_file_changes_enabled = true
  tags                               = var.tags

  lifecycle {
    ignore_changes = [repository_branch, repository_url] # set by deployment
  }
}
