variable "resourcegroup" {
  type        = string
  default     = "rg-causeway-delivery"
  description = "Name of the resource group of the identities and the state, to which suffix is added."
  nullable    = false
}

variable "suffix" {
  type        = string
  description = "Added to every resource's name."
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]{1,8}$", var.suffix))
    error_message = "suffix: 1 to 8 lower-case letters and digits."
  }
}

variable "location" {
  type        = string
  default     = "westeurope"
  description = "Azure region."
  nullable    = false
}

variable "issuer" {
  type        = string
  description = "Issuer of the pipelines' tokens: https://token.actions.githubusercontent.com, or the one that the Azure DevOps service connection shows."
  nullable    = false

  validation {
    condition     = startswith(var.issuer, "https://")
    error_message = "issuer: an https URL."
  }
}

variable "subjects" {
  type = object({
    plan   = string
    apply  = string
    sign   = string
    deploy = string
  })
  description = "Subjects of the pipelines' tokens: repo:ORG/REPO:environment:NAME on GitHub, sc://ORG/PROJECT/CONNECTION on Azure DevOps. Four different ones."
  nullable    = false

  validation {
    condition     = length(toset(values(var.subjects))) == 4
    error_message = "subjects: four different ones, or one pipeline could be another."
  }

  validation {
    condition     = alltrue([for s in values(var.subjects) : !strcontains(s, "*") && (startswith(s, "sc://") || can(regex("^repo:[^:]+/[^:]+:environment:.+$", s)))])
    error_message = "subjects: repo:ORG/REPO:environment:NAME, or sc://ORG/PROJECT/CONNECTION; no wildcards."
  }
}

variable "scopes" {
  type        = map(string)
  description = "The resource groups that the pipelines work on: a name of your choice = resource id."
  nullable    = false

  validation {
    condition     = alltrue([for s in values(var.scopes) : can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+$", s))])
    error_message = "scopes: ids of resource groups, not of subscriptions."
  }
}

variable "container_apps" {
  type        = map(string)
  default     = {}
  description = "Container apps into which images are put: a name of your choice = resource id."
  nullable    = false

  validation {
    condition     = alltrue([for id in values(var.container_apps) : can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.App/containerApps/[^/]+$", id))])
    error_message = "container_apps: resource ids of container apps."
  }
}

variable "registries" {
  type        = map(string)
  default     = {}
  description = "Container registries to which images are pushed: a name of your choice = resource id."
  nullable    = false

  validation {
    condition     = alltrue([for id in values(var.registries) : can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.ContainerRegistry/registries/[^/]+$", id))])
    error_message = "registries: resource ids of container registries."
  }
}

variable "agent_ip_addresses" {
  type        = list(string)
  description = "Public IPv4 addresses of the build agents, which reach the state."
  nullable    = false

  validation {
    condition     = length(var.agent_ip_addresses) > 0 && alltrue([for a in var.agent_ip_addresses : can(cidrhost("${a}/32", 0))])
    error_message = "agent_ip_addresses: at least one IPv4 address."
  }
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of every resource."
  nullable    = false
}
