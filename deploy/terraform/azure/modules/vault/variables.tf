variable "name" {
  type        = string
  description = "Name of the vault, which nobody else on Azure may have."
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name: 3 to 24 lower-case letters, digits and hyphens."
  }
}

variable "resource_group_name" {
  type        = string
  description = "Resource group of the vault."
  nullable    = false
}

variable "location" {
  type        = string
  description = "Azure region of the vault."
  nullable    = false
}

variable "tenant_id" {
  type        = string
  description = "Tenant whose identities may come."
  nullable    = false
}

variable "sku_name" {
  type        = string
  default     = "standard"
  description = "standard, or premium for keys in hardware."
  nullable    = false
}

variable "ip_addresses" {
  type        = list(string)
  default     = []
  description = "Public IPv4 addresses that the vault's firewall lets in."
  nullable    = false
}

variable "subnet_ids" {
  type        = list(string)
  default     = []
  description = "Subnets that the vault's firewall lets in."
  nullable    = false
}

variable "readers" {
  type        = map(string)
  default     = {}
  description = "Who reads secrets: a name of your choice = object id."
  nullable    = false
}

variable "writers" {
  type        = map(string)
  default     = {}
  description = "Who writes secrets: a name of your choice = object id."
  nullable    = false
}

variable "role_propagation" {
  type        = string
  default     = "120s"
  description = "How long to wait between giving writers their role and writing secrets."
  nullable    = false
}

variable "has_metered_key" {
  type        = bool
  default     = false
  description = "Keep Metered's key in the vault?"
  nullable    = false
}

variable "metered_key" {
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
  description = "Metered's secret key."
}

variable "metered_key_version" {
  type        = number
  default     = 1
  description = "Raise it to write the key again."
  nullable    = false
}

variable "azure_key_vault_id" {
  type        = string
  default     = null
  description = "Id of a vault from whose secret meteredkey the key is read where metered_key is not given."
}

variable "signing_key" {
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
  description = "32 bytes, base64. Null: made at random when it is written."
}

variable "signing_key_version" {
  type        = number
  default     = 1
  description = "Raise it to write the signing key again."
  nullable    = false
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of every resource."
  nullable    = false
}
