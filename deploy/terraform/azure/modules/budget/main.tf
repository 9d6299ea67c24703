# A budget tells; it stops nothing. What stops is in the application: its caps on relayed bytes and
# money, the most instances, and the daily quota of logs.
resource "azurerm_consumption_budget_subscription" "this" {
  name            = var.name
  subscription_id = "/subscriptions/${var.subscription_id}"
  amount          = var.amount
  time_grain      = "Monthly"

  time_period {
    start_date = "${var.start_date}T00:00:00Z"
  }

  dynamic "notification" {
    for_each = {
      half     = { threshold = 50, type = "Actual" }
      most     = { threshold = 80, type = "Actual" }
      all      = { threshold = 100, type = "Actual" }
      foreseen = { threshold = 100, type = "Forecasted" }
    }

    content {
      operator       = "GreaterThanOrEqualTo"
      threshold      = notification.value.threshold
      threshold_type = notification.value.type
      contact_emails = var.contact_emails
    }
  }
}
