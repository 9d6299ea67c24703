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

variable "region" {
  type        = string
  default     = null
  description = "Which of regions this deployment is. Null: there is only this one."

  validation {
    condition     = var.region == null ? length(var.regions) == 0 : contains(var.regions[*].name, var.region)
    error_message = "region: which of regions this deployment is; wanted where there are regions, and nowhere else."
  }

  validation {
    condition     = alltrue([for r in var.regions : r.url == local.function_app_url if r.name == var.region])
    error_message = "region: its url in regions is not where this function app is."
  }
}

variable "regions" {
  type = list(object({
    name = string
    url  = string
  }))
  default     = []
  description = "The deployments that serve the same sessions, with the origins of their APIs: the same list in the same order in each, since a session's home is a place in it, and its alternatives are those that follow. New ones go to the end."
  nullable    = false

  validation {
    condition     = length(var.regions) <= 15 && alltrue([for r in var.regions : can(regex("^[a-z][a-z0-9]{1,31}$", r.name)) && can(regex("^https://[a-z0-9.-]+$", r.url))])
    error_message = "regions: up to 15, with names of lower-case letters and digits and origins such as https://example.org."
  }

  validation {
    condition     = length(distinct(var.regions[*].name)) == length(var.regions) && length(distinct(var.regions[*].url)) == length(var.regions)
    error_message = "regions: one is there twice."
  }
}

variable "app_settings" {
  type        = map(string)
  default     = {}
  description = "More settings of the function app: CAUSEWAY_… as `causeway config reference` lists them. No secrets: those are references such as azurekv:vault/name."
  nullable    = false
}
