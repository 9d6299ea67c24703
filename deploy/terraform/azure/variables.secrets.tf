# Secrets. Their values are ephemeral: they are in neither the plan nor the state.

variable "metered_app" {
  type        = string
  default     = null
  description = "Metered's application: NAME of https://NAME.metered.live. Null: TURN comes from elsewhere, or not at all."
}

variable "metered_price" {
  type        = number
  default     = 0.4
  description = "What Metered takes for a gigabyte, in your currency: budgets count with it."
  nullable    = false
}

variable "metered_region" {
  type        = string
  default     = null
  description = "Metered's region. Null: the one that is nearest to each peer."
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

variable "signing_key" {
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
  description = "32 bytes, base64, that sign links and grants. Null: made at random when it is written. Regions that share sessions share it."
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
