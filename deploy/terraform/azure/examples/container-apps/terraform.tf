terraform {
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }

  # With a backend file (tofu init -backend-config=…) the state is in a storage account: docs/azure.md.
  # backend "azurerm" {}
}

provider "azurerm" {
  subscription_id = var.subscription_id

  # The provider registers none by itself.
  resource_providers_to_register = [
    "Microsoft.App",
    "Microsoft.Consumption",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
  ]

  features {
    key_vault {
      purge_soft_delete_on_destroy    = false # purge protection forbids it
      recover_soft_deleted_key_vaults = true
      recover_soft_deleted_secrets    = true
    }
  }
}
