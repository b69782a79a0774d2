output "provider" {
  description = "`federated: {audience: …}` of an account in the gateway's configuration."
  value       = "//iam.googleapis.com/projects/${var.project_number}/locations/global/workloadIdentityPools/${var.pool_id}/providers/${var.provider_id}"
}

output "accounts" {
  description = "`credentials.accounts`: the service account of each tier."
  value       = { for name, account in google_service_account.reader : name => account.email }
}

output "inspection" {
  description = "`credentials.accounts.inspection`."
  value       = google_service_account.inspection.email
}
