config {
  call_module_type = "local"
}

# Core rules only: the rule set for Azure is a plugin that is fetched from elsewhere. What it would
# say of values, the provider says at plan (make test-infra).
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Variables are in files by topic, as Azure Verified Modules have them (TFNFR39).
rule "terraform_standard_module_structure" {
  enabled = false
}
