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
  description = "Azure region."
  nullable    = false
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of every resource."
  nullable    = false
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

variable "public_ip_address_of_it_team" {
  type        = string
  default     = null
  description = "Public IPv4 address from which people reach the vault . Null: none does."

  validation {
    condition     = var.public_ip_address_of_it_team == null || can(cidrhost("${var.public_ip_address_of_it_team}/32", 0))
    error_message = "public_ip_address_of_it_team: one IPv4 address."
  }
}

variable "agent_ip_addresses" {
  type        = list(string)
  default     = []
  description = "Public IPv4 addresses of the build agents that plan and apply: they read and write the vault's secrets. "
  nullable    = false

  validation {
    condition     = alltrue([for a in var.agent_ip_addresses : can(cidrhost("${a}/32", 0))])
    error_message = "agent_ip_addresses: IPv4 addresses."
  }
}

variable "metered_app" {
  type        = string
  default     = null
  description = "Metered's application: NAME of https://NAME.metered.live. Null: TURN comes from elsewhere, or not at all."
}

variable "metered_key" {
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
  description = "Metered's secret key, for the first set-up, and for a new key together with a higher metered_key_version. Otherwise give azure_key_vault_id."
}

variable "metered_key_version" {
  type        = number
  default     = 1
  description = "Raise it to write the key to the vault again: that is how it is rotated."
  nullable    = false

  validation {
    condition     = var.metered_key_version >= 1 && floor(var.metered_key_version) == var.metered_key_version
    error_message = "metered_key_version: a whole number from 1."
  }
}

variable "azure_key_vault_id" {
  type        = string
  default     = null
  description = "Resource id of a vault from whose secret meteredkey Metered's key is read where metered_key is not given. For updates: the id in the output key_vault_id."
}

variable "signing_key_version" {
  type        = number
  default     = 1
  description = "Raise it to write the signing key to the vault again. That ends all links."
  nullable    = false

  validation {
    condition     = var.signing_key_version >= 1 && floor(var.signing_key_version) == var.signing_key_version
    error_message = "signing_key_version: a whole number from 1."
  }
}

variable "role_propagation" {
  type        = string
  default     = "120s"
  description = "How long to wait between giving deployers their role on the vault and writing secrets, since Azure takes minutes to believe it."
  nullable    = false
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "Days for which logs are kept."
  nullable    = false
}

variable "log_daily_quota_gb" {
  type        = number
  default     = 1
  description = "Most GB of logs a day: a flood of requests must not become a flood of costs."
  nullable    = false
}

variable "address_space" {
  type        = string
  default     = "10.21.0.0/24"
  description = "IPv4 range of the environment's subnet: /27 or larger."
  nullable    = false

  validation {
    condition     = can(cidrhost(var.address_space, 0)) && tonumber(split("/", var.address_space)[1]) <= 27
    error_message = "address_space: an IPv4 range of /27 or larger."
  }
}

variable "image" {
  type        = string
  description = "Container image of Causeway, by digest (name@sha256:…), so that what runs is what was tested."
  nullable    = false

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image: by digest, such as example.azurecr.io/causeway@sha256:…."
  }
}

variable "registry_id" {
  type        = string
  default     = null
  description = "Resource id of an Azure registry whose images the app's identity is to be allowed to pull (AcrPull). Null: it may already, or the image is public."

  validation {
    condition     = var.registry_id == null || can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.ContainerRegistry/registries/[^/]+$", var.registry_id))
    error_message = "registry_id: the resource id of a container registry (az acr show --query id)."
  }
}

variable "registry_server" {
  type        = string
  default     = null
  description = "Registry to log in to as the app's identity, such as example.azurecr.io. Null: the image is public."
}

variable "cpu" {
  type        = number
  default     = 0.5
  description = "vCPUs; memory in GiB is twice as much."
  nullable    = false
}

variable "memory" {
  type        = string
  default     = "1Gi"
  description = "Memory, twice as many GiB as vCPUs."
  nullable    = false
}

variable "metered_price" {
  type        = number
  default     = 0.4
  description = "What Metered takes for a gigabyte, in your currency: budgets count with it."
  nullable    = false
}

variable "app_settings" {
  type        = map(string)
  default     = {}
  description = "More settings: CAUSEWAY_… as `causeway config reference` lists them. No secrets."
  nullable    = false
}
