variable "name" {
  type        = string
  default     = "budget-causeway"
  description = "Name of the budget, unique in the subscription."
  nullable    = false
}

variable "subscription_id" {
  type        = string
  description = "Id (GUID) of the subscription whose costs are watched."
  nullable    = false
}

variable "amount" {
  type        = number
  description = "What the subscription may cost in a month, in its billing currency."
  nullable    = false

  validation {
    condition     = var.amount > 0
    error_message = "amount: above 0."
  }
}

variable "start_date" {
  type        = string
  description = "First day from which costs are watched, the first of a month, such as 2027-01-01."
  nullable    = false

  validation {
    condition     = can(regex("^20[0-9]{2}-(0[1-9]|1[0-2])-01$", var.start_date))
    error_message = "start_date: the first of a month, such as 2027-01-01."
  }
}

variable "contact_emails" {
  type        = list(string)
  description = "Who is told."
  nullable    = false

  validation {
    condition     = length(var.contact_emails) > 0
    error_message = "contact_emails: at least one; a budget that tells nobody is none."
  }
}
