terraform {
  required_version = ">= 1.11" # ephemeral values and write-only arguments

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}
