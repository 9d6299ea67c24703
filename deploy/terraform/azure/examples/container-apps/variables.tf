variable "subscription_id" {
  type        = string
  description = "Id of the subscription (az account show --query id)."
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

variable "location" {
  type        = string
  default     = "westeurope"
  description = "Azure region."
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

variable "public_ip_address_of_it_team" {
  type        = string
  default     = null
  description = "Public IPv4 address from which people reach the vault."
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

variable "image" {
  type        = string
  description = "Container image of Causeway, by digest (name@sha256:…)."
}

variable "registry_id" {
  type        = string
  default     = null
  description = "Resource id of an Azure registry whose images the app's identity is to be allowed to pull."
}

variable "registry_server" {
  type        = string
  default     = null
  description = "Registry to log in to as the app's identity. Null: the image is public."
}

variable "app_settings" {
  type        = map(string)
  default     = {}
  description = "More settings of the app (CAUSEWAY_…). No secrets."
}
