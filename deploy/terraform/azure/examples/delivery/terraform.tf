terraform {
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }

}

provider "azurerm" {
  subscription_id     = var.subscription_id
  storage_use_azuread = true

  # The provider registers none by itself.
  resource_providers_to_register = [
    "Microsoft.ManagedIdentity",
    "Microsoft.Storage",
  ]

  features {}
}
