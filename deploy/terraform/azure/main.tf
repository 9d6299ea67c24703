# One region of Causeway without servers: a static site for the pages, a function app for
# signaling, SignalR Service for realtime. docs/azure.md says how to set it up, and why it is so.
#
# The function app has one identity and no keys. What it may do is in main.roles.tf.

data "azurerm_client_config" "current" {}

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

# The function app's way to vault, storage and database, which are closed to everybody else.
resource "azurerm_virtual_network" "this" {
  name                = "vnet-${local.id}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  address_space       = [var.address_space]
  tags                = var.tags
}

resource "azurerm_subnet" "functions" {
  name                 = "functions"
  resource_group_name  = azurerm_resource_group.this.name
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [cidrsubnet(var.address_space, 1, 0)]

  service_endpoint {
    service = "Microsoft.KeyVault"
  }

  service_endpoint {
    service = "Microsoft.Sql"
  }

  service_endpoint {
    service = "Microsoft.Storage"
  }

  delegation {
    name = "functions"

    service_delegation {
      name    = "Microsoft.App/environments"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }
}
