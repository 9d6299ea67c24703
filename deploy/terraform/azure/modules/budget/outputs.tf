output "id" {
  value       = azurerm_consumption_budget_subscription.this.id
  description = "Id of the budget."
}
