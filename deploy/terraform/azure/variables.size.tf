# Sizes: what costs money.

variable "key_vault_sku" {
  type        = string
  default     = "standard"
  description = "standard, or premium for keys in hardware."
  nullable    = false
}

variable "signalr_sku" {
  type = object({
    name     = string
    capacity = optional(number, 1)
  })
  default     = { name = "Free_F1" }
  description = "Tier of SignalR Service (Free_F1, Standard_S1, Premium_P1, Premium_P2) and its units at first: autoscale or az signalr update changes them. Premium_P2 starts at 100 units."
  nullable    = false
}

variable "signalr_autoscale_maximum" {
  type        = number
  default     = null
  description = "Units up to which SignalR grows by itself with its connections, on Premium. Null: capacity stays as it is."

  validation {
    condition     = var.signalr_autoscale_maximum == null || startswith(var.signalr_sku.name, "Premium_")
    error_message = "signalr_autoscale_maximum: only the Premium tiers scale by themselves."
  }
}

variable "function_memory_mb" {
  type        = number
  default     = 512
  description = "Memory of one function instance in MB: 512, 2048 or 4096."
  nullable    = false
}

variable "function_maximum_instances" {
  type        = number
  default     = 40
  description = "Most instances of the function app at once."
  nullable    = false
}

variable "function_always_ready" {
  type        = number
  default     = 0
  description = "Instances that are always up. 0: the first request after a quiet time waits for a start."
  nullable    = false
}

variable "database_sku" {
  type        = string
  default     = "Basic"
  description = "SKU of the database, such as Basic, S0 or GP_S_Gen5_1. Null: no database; there are no statistics then, and budgets need another store."
}

variable "database_max_size_gb" {
  type        = number
  default     = 2
  description = "Largest size of the database in GB."
  nullable    = false
}

variable "storage_replication" {
  type        = string
  default     = "LRS"
  description = "Replication of the storage account that holds the function app's package: LRS or ZRS."
  nullable    = false
}

variable "static_site_sku" {
  type        = string
  default     = "Free"
  description = "Free, or Standard for an SLA. Null: no static site here (it is in another region)."
}

variable "static_site_location" {
  type        = string
  default     = "westeurope"
  description = "Azure region of the static site's control plane; its pages are served from everywhere."
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

variable "telemetry_sampling_percentage" {
  type        = number
  default     = 10
  description = "Percentage of requests whose telemetry is kept."
  nullable    = false

  validation {
    condition     = var.telemetry_sampling_percentage > 0 && var.telemetry_sampling_percentage <= 100
    error_message = "telemetry_sampling_percentage: above 0, up to 100. At 0 nothing would be seen."
  }
}
