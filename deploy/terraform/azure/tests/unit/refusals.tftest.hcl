# What the module refuses, before anything is asked of Azure.

mock_provider "azurerm" {
  mock_data "azurerm_client_config" {
    defaults = {
      tenant_id = "00000000-0000-0000-0000-0000000000bb"
      object_id = "00000000-0000-0000-0000-0000000000dd"
    }
  }

  mock_resource "azurerm_resource_group" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst" }
  }

  mock_resource "azurerm_user_assigned_identity" {
    defaults = {
      id           = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-causewaytst"
      client_id    = "00112233-4455-6677-8899-aabbccddeeff"
      principal_id = "00000000-0000-0000-0000-000000000011"
    }
  }

  mock_resource "azurerm_subnet" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Network/virtualNetworks/vnet-causewaytst/subnets/functions" }
  }

  mock_resource "azurerm_key_vault" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.KeyVault/vaults/kv-causewaytst" }
  }

  mock_resource "azurerm_storage_account" {
    defaults = {
      id                    = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Storage/storageAccounts/stcausewaytst"
      primary_blob_endpoint = "https://stcausewaytst.blob.core.windows.net/"
    }
  }

  mock_resource "azurerm_signalr_service" {
    defaults = {
      id       = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.SignalRService/signalR/sigr-causewaytst"
      hostname = "sigr-causewaytst.service.signalr.net"
    }
  }

  mock_resource "azurerm_service_plan" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Web/serverFarms/plan-causewaytst" }
  }

  mock_resource "azurerm_function_app_flex_consumption" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Web/sites/func-causewaytst" }
  }

  mock_resource "azurerm_static_web_app" {
    defaults = { default_host_name = "nice-sea-0123.azurestaticapps.net" }
  }

  mock_resource "azurerm_mssql_server" {
    defaults = {
      id                          = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Sql/servers/sql-causewaytst"
      fully_qualified_domain_name = "sql-causewaytst.database.windows.net"
    }
  }

  mock_resource "azurerm_mssql_database" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Sql/servers/sql-causewaytst/databases/causeway" }
  }

  mock_resource "azurerm_log_analytics_workspace" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.OperationalInsights/workspaces/log-causewaytst" }
  }

  mock_resource "azurerm_application_insights" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg-causewaytst/providers/Microsoft.Insights/components/appi-causewaytst" }
  }
}

mock_provider "time" {}

variables {
  suffix                       = "tst"
  database_administrators      = { name = "database-admins", object_id = "00000000-0000-0000-0000-000000000003" }
  deployers                    = { me = "00000000-0000-0000-0000-000000000001" }
  upstream_audience            = "00000000-0000-0000-0000-000000000004"
  public_ip_address_of_it_team = "203.0.113.7"
  metered_app                  = "example"
  metered_key                  = "not-a-key"
}

run "long_suffix" {
  command = plan

  variables {
    suffix = "abcdefghi"
  }

  expect_failures = [var.suffix]
}

run "odd_suffix" {
  command = plan

  variables {
    suffix = "A-1"
  }

  expect_failures = [var.suffix]
}

run "odd_name" {
  command = plan

  variables {
    name = "Causeway"
  }

  expect_failures = [var.name]
}

run "administrators_by_name" {
  command = plan

  variables {
    database_administrators = { name = "x", object_id = "x@example.org" }
  }

  expect_failures = [var.database_administrators]
}

run "deployer_by_name" {
  command = plan

  variables {
    deployers = { me = "me@example.org" }
  }

  expect_failures = [var.deployers]
}

run "planner_by_name" {
  command = plan

  variables {
    planners = { me = "me@example.org" }
  }

  expect_failures = [var.planners]
}

run "audience_by_name" {
  command = plan

  variables {
    upstream_audience = "api://causeway"
  }

  expect_failures = [var.upstream_audience]
}

run "range_of_the_team" {
  command = plan

  variables {
    public_ip_address_of_it_team = "203.0.113.0/24"
  }

  expect_failures = [var.public_ip_address_of_it_team]
}

run "range_of_an_agent" {
  command = plan

  variables {
    agent_ip_addresses = ["203.0.113.0/24"]
  }

  expect_failures = [var.agent_ip_addresses]
}

run "small_network" {
  command = plan

  variables {
    address_space = "10.0.0.0/28"
  }

  expect_failures = [var.address_space]
}

run "version_zero" {
  command = plan

  variables {
    metered_key_version = 0
  }

  expect_failures = [var.metered_key_version]
}

run "signing_version_zero" {
  command = plan

  variables {
    signing_key_version = 1.5
  }

  expect_failures = [var.signing_key_version]
}

run "autoscale_on_free" {
  command = plan

  variables {
    signalr_autoscale_maximum = 10
  }

  expect_failures = [var.signalr_autoscale_maximum]
}

run "no_telemetry" {
  command = plan

  variables {
    telemetry_sampling_percentage = 0
  }

  expect_failures = [var.telemetry_sampling_percentage]
}

run "origin_with_path" {
  command = plan

  variables {
    site_origins = ["https://example.org/x"]
  }

  expect_failures = [var.site_origins]
}

run "region_that_is_not_listed" {
  command = plan

  variables {
    region  = "us"
    regions = [{ name = "eu", url = "https://func-causewaytsteu.azurewebsites.net" }]
  }

  expect_failures = [var.region]
}

run "regions_without_a_region" {
  command = plan

  variables {
    regions = [{ name = "eu", url = "https://func-causewaytst.azurewebsites.net" }]
  }

  expect_failures = [var.region]
}

run "region_elsewhere" {
  command = plan

  variables {
    region  = "eu"
    regions = [{ name = "eu", url = "https://func-another.azurewebsites.net" }]
  }

  expect_failures = [var.region]
}

run "region_twice" {
  command = plan

  variables {
    region = "eu"
    regions = [
      { name = "eu", url = "https://func-causewaytst.azurewebsites.net" },
      { name = "us", url = "https://func-causewaytst.azurewebsites.net" },
    ]
  }

  expect_failures = [var.regions]
}

run "region_with_a_path" {
  command = plan

  variables {
    region = "eu"
    regions = [
      { name = "eu", url = "https://func-causewaytst.azurewebsites.net" },
      { name = "us", url = "https://example.org/api" },
    ]
  }

  expect_failures = [var.regions]
}
