# The application.

variable "site_origins" {
  type        = list(string)
  default     = []
  description = "Origins of pages besides the static site of this deployment, such as https://send.example.org, that may call the function app and SignalR."
  nullable    = false

  validation {
    condition     = alltrue([for o in var.site_origins : can(regex("^https://[a-z0-9.-]+$", o))])
    error_message = "site_origins: origins such as https://send.example.org, without a path."
  }
}

variable "app_settings" {
  type        = map(string)
  default     = {}
  description = "More settings of the function app: CAUSEWAY_… as `causeway config reference` lists them. No secrets: those are references such as azurekv:vault/name."
  nullable    = false
}
