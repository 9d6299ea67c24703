variable "subscription_id" {
  type        = string
  description = "Id of the subscription (az account show --query id)."
}

variable "environment" {
  type        = string
  default     = "production"
  description = "development (the smallest sizes) or production (zones, autoscale, an SLA)."

  validation {
    condition     = contains(["development", "production"], var.environment)
    error_message = "environment: development or production."
  }
}

variable "resourcegroup" {
  type        = string
  default     = "rg-causeway"
  description = "Name of the resource group, to which suffix is added."
}

variable "suffix" {
  type        = string
  description = "Added to every resource's name. Vaults, storage accounts and sites need names that nobody else on Azure has: choose some letters of your own."
}

variable "database_administrators" {
  type = object({
    name      = string
    object_id = string
  })
  description = "Entra group of people who administer the database server. No pipeline may be in it."
}

variable "deployers" {
  type        = map(string)
  description = "Who writes secrets to the vault: a name of your choice = object id."
}

variable "planners" {
  type        = map(string)
  default     = {}
  description = "Who reads secrets to plan: a name of your choice = object id."
}

variable "upstream_audience" {
  type        = string
  description = "Client id of the app registration for which SignalR asks tokens when it calls the function app."
}

variable "public_ip_address_of_it_team" {
  type        = string
  default     = null
  description = "Public IPv4 address from which people reach the vault and the database."
}

variable "agent_ip_addresses" {
  type        = list(string)
  default     = []
  description = "Public IPv4 addresses of the build agents that plan and apply."
}

variable "metered_app" {
  type        = string
  default     = null
  description = "Metered's application: NAME of https://NAME.metered.live."
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
}

variable "azure_key_vault_id" {
  type        = string
  default     = null
  description = "Id of the vault from whose secret meteredkey Metered's key is read where metered_key is not given."
}

variable "signing_key_version" {
  type        = number
  default     = 1
  description = "Raise it to make a new signing key. That ends all links."
}

variable "role_propagation" {
  type        = string
  default     = "120s"
  description = "How long to wait until Azure believes that deployers may write secrets."
}

variable "telemetry_sampling_percentage" {
  type        = number
  default     = 10
  description = "Percentage of requests whose telemetry is kept."
}

variable "site_origins" {
  type        = list(string)
  default     = []
  description = "Origins of pages besides the static site, such as https://send.example.org."
}

variable "app_settings" {
  type        = map(string)
  default     = {}
  description = "More settings of the function app (CAUSEWAY_…). No secrets."
}

variable "monthly_budget" {
  type        = number
  description = "What the subscription may cost in a month before somebody is told."
}

variable "budget_start" {
  type        = string
  description = "The first of the month in which you set this up, such as 2027-01-01."
}

variable "budget_contacts" {
  type        = list(string)
  description = "E-mail addresses that are told."
}

variable "regions" {
  type = list(object({
    name          = string
    location      = string
    address_space = string
  }))
  default = [
    { name = "eu", location = "westeurope", address_space = "10.20.0.0/24" },
    { name = "us", location = "eastus2", address_space = "10.20.1.0/24" },
  ]
  description = "The regions: a short name, which goes into the names of resources, and where it is. Their order is that of the alternatives: who loses a session's home goes on to the next, after the last to the first. New ones go to the end; none may be taken out or moved while links are out that begin there."
  nullable    = false

  validation {
    condition     = length(var.regions) >= 2 && alltrue([for r in var.regions : can(regex("^[a-z]{2,3}$", r.name))]) && length(distinct(var.regions[*].name)) == length(var.regions)
    error_message = "regions: at least two, with different names of two or three letters."
  }
}
