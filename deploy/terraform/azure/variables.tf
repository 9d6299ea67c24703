# Names and places.

variable "name" {
  type        = string
  default     = "causeway"
  description = "First part of every resource's name."
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.name))
    error_message = "name: 2 to 12 lower-case letters and digits, a letter first (vault and storage names allow no more)."
  }
}

variable "suffix" {
  type        = string
  default     = ""
  description = "Added to every resource's name, so that several deployments can exist side by side."
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]{0,8}$", var.suffix))
    error_message = "suffix: up to 8 lower-case letters and digits."
  }
}

variable "resourcegroup" {
  type        = string
  default     = "rg-causeway"
  description = "Name of the resource group, to which suffix is added."
  nullable    = false
}

variable "location" {
  type        = string
  default     = "westeurope"
  description = "Azure region of everything but the static site."
  nullable    = false
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of every resource."
  nullable    = false
}

# The directory. Objects of Entra ID are given by id: the module needs no rights in the directory.

variable "database_administrators" {
  type = object({
    name      = string
    object_id = string
  })
  description = "Entra group of people who administer the database server. No pipeline may be in it."
  nullable    = false

  validation {
    condition     = can(regex(local.guid, var.database_administrators.object_id))
    error_message = "database_administrators.object_id: the object id (GUID) of an Entra group."
  }
}

variable "deployers" {
  type        = map(string)
  description = "Who writes secrets to the vault: a name of your choice = object id. You (az ad signed-in-user show --query id), and the identity that applies in the pipeline."
  nullable    = false

  validation {
    condition     = alltrue([for id in values(var.deployers) : can(regex(local.guid, id))])
    error_message = "deployers: object ids (GUIDs)."
  }
}

variable "planners" {
  type        = map(string)
  default     = {}
  description = "Who reads secrets to plan: a name of your choice = object id of the identity that plans in the pipeline."
  nullable    = false

  validation {
    condition     = alltrue([for id in values(var.planners) : can(regex(local.guid, id))])
    error_message = "planners: object ids (GUIDs)."
  }
}

variable "upstream_audience" {
  type        = string
  description = "Client id of the app registration for which SignalR asks tokens when it calls the function app (az ad app create --display-name causeway-upstream --query appId)."
  nullable    = false

  validation {
    condition     = can(regex(local.guid, var.upstream_audience))
    error_message = "upstream_audience: the client id (GUID) of an app registration."
  }
}

# The network. Vault, storage and database take no connections but from here.

variable "public_ip_address_of_it_team" {
  type        = string
  default     = null
  description = "Public IPv4 address from which people reach the vault and the database. Null: none does."

  validation {
    condition     = var.public_ip_address_of_it_team == null || can(cidrhost("${var.public_ip_address_of_it_team}/32", 0))
    error_message = "public_ip_address_of_it_team: one IPv4 address."
  }
}

variable "agent_ip_addresses" {
  type        = list(string)
  default     = []
  description = "Public IPv4 addresses of the build agents that plan and apply: they read and write the vault's secrets. They get no way to the database."
  nullable    = false

  validation {
    condition     = alltrue([for a in var.agent_ip_addresses : can(cidrhost("${a}/32", 0))])
    error_message = "agent_ip_addresses: IPv4 addresses."
  }
}

variable "address_space" {
  type        = string
  default     = "10.20.0.0/24"
  description = "IPv4 range of the virtual network through which the function app reaches vault, storage and database."
  nullable    = false

  validation {
    condition     = can(cidrsubnet(var.address_space, 3, 0)) && tonumber(split("/", var.address_space)[1]) <= 24
    error_message = "address_space: an IPv4 range of /24 or larger."
  }
}
