variable "subscription_id" {
  type        = string
  description = "Id of the subscription."
}

variable "suffix" {
  type        = string
  description = "Added to every resource's name."
}

variable "issuer" {
  type        = string
  description = "Issuer of the pipelines' tokens."
}

variable "subjects" {
  type = object({
    plan   = string
    apply  = string
    sign   = string
    deploy = string
  })
  description = "Subjects of the pipelines' tokens."
}

variable "scopes" {
  type        = map(string)
  description = "The resource groups that the pipelines work on: a name of your choice = resource id."
}

variable "container_apps" {
  type        = map(string)
  default     = {}
  description = "Container apps into which the pipelines put images: a name of your choice = resource id."
}

variable "registries" {
  type        = map(string)
  default     = {}
  description = "Container registries to which the pipelines push: a name of your choice = resource id."
}

variable "agent_ip_addresses" {
  type        = list(string)
  description = "Public IPv4 addresses of the build agents."
}
