locals {
  guid = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

  id = "${var.name}${var.suffix}"

  # The host name is known before the app is: SignalR needs it, and the app needs SignalR.
  function_app_name = "func-${local.id}"
  function_app_url  = "https://${local.function_app_name}.azurewebsites.net"

  site_origins = concat(
    [for s in azurerm_static_web_app.this : "https://${s.default_host_name}"],
    var.site_origins,
  )

  team_addresses = var.public_ip_address_of_it_team == null ? [] : [var.public_ip_address_of_it_team]

  tenant_id = data.azurerm_client_config.current.tenant_id
}
