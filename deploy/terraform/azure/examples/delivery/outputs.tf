output "client_ids" {
  value       = module.delivery.client_ids
  description = "Client ids, for the pipelines' logins."
}

output "object_ids" {
  value       = module.delivery.object_ids
  description = "Object ids: plan goes to planners, apply to deployers."
}

output "backend" {
  value       = module.delivery.backend
  description = "What tofu init -backend-config wants, besides a key."
}
