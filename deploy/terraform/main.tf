# What bqgate needs at Google, with the least rights. ../gcloud.sh does the same with gcloud and bq; a
# test compares both, and their permissions with ../permissions.go.

locals {
  # Everybody for whom the gateway signed a token.
  requesters = "principalSet://iam.googleapis.com/projects/${var.project_number}/locations/global/workloadIdentityPools/${var.pool_id}/*"
  # An account and a dataset that it reads.
  reads = merge([for name, datasets in var.readers : { for dataset in datasets : "${name}/${dataset}" => { name = name, dataset = dataset } }]...)
}

# ── The pool: it trusts what the gateway signs after its decision, and no token that an agent can hold (A46)

resource "google_iam_workload_identity_pool" "bqgate" {
  project                   = var.project
  workload_identity_pool_id = var.pool_id
  display_name              = "bqgate"
}

resource "google_iam_workload_identity_pool_provider" "gateway" {
  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.bqgate.workload_identity_pool_id
  workload_identity_pool_provider_id = var.provider_id
  attribute_mapping                  = { "google.subject" = "assertion.sub" }
  attribute_condition                = "assertion.iss == '${var.issuer_url}' && has(assertion.sub)"

  oidc {
    issuer_uri = var.issuer_url
    jwks_json  = var.jwks_json
  }
}

# ── Accounts by tier

resource "google_service_account" "reader" {
  for_each     = var.readers
  project      = var.project
  account_id   = "bqgate-${each.key}"
  display_name = "bqgate: reads ${each.key}"
}

resource "google_service_account" "inspection" {
  project      = var.project
  account_id   = "bqgate-inspection"
  display_name = "bqgate: schemas, dry runs and jobs; no rows"
}

# ── Roles: permissions.go says what each is for

resource "google_project_iam_custom_role" "reader" {
  project     = var.project
  role_id     = "bqgateReader"
  title       = "bqgate reader"
  permissions = ["bigquery.routines.get", "bigquery.tables.get", "bigquery.tables.getData"]
}

resource "google_project_iam_custom_role" "runner" {
  project     = var.project
  role_id     = "bqgateRunner"
  title       = "bqgate runner"
  permissions = ["bigquery.jobs.create"]
}

resource "google_project_iam_custom_role" "inspection" {
  project = var.project
  role_id = "bqgateInspection"
  title   = "bqgate inspection"
  permissions = [
    "bigquery.datasets.get", "bigquery.routines.get", "bigquery.rowAccessPolicies.list", "bigquery.tables.get", "bigquery.tables.list",
  ]
}

resource "google_project_iam_custom_role" "inspection_jobs" {
  project     = var.project
  role_id     = "bqgateInspectionJobs"
  title       = "bqgate inspection of jobs"
  permissions = ["bigquery.jobs.create", "bigquery.jobs.get"]
}

resource "google_project_iam_custom_role" "impersonation" {
  project     = var.project
  role_id     = "bqgateImpersonation"
  title       = "bqgate impersonation"
  permissions = ["iam.serviceAccounts.getAccessToken"]
}

# ── Who may what

resource "google_project_iam_member" "reader_runs" {
  for_each = var.readers
  project  = var.project
  role     = google_project_iam_custom_role.runner.id
  member   = "serviceAccount:${google_service_account.reader[each.key].email}"
}

resource "google_project_iam_member" "requesters_run" {
  project = var.project
  role    = google_project_iam_custom_role.runner.id
  member  = local.requesters
}

resource "google_project_iam_member" "inspection_jobs" {
  project = var.project
  role    = google_project_iam_custom_role.inspection_jobs.id
  member  = "serviceAccount:${google_service_account.inspection.email}"
}

resource "google_bigquery_dataset_iam_member" "reader_reads" {
  for_each   = local.reads
  project    = var.project
  dataset_id = each.value.dataset
  role       = google_project_iam_custom_role.reader.id
  member     = "serviceAccount:${google_service_account.reader[each.value.name].email}"
}

resource "google_bigquery_dataset_iam_member" "requesters_read" {
  for_each   = toset(var.federated_datasets)
  project    = var.project
  dataset_id = each.key
  role       = google_project_iam_custom_role.reader.id
  member     = "iamMember:${local.requesters}" # the provider takes principals of a pool by this word alone
}

resource "google_bigquery_dataset_iam_member" "inspection_looks" {
  for_each   = toset(var.inspected_datasets)
  project    = var.project
  dataset_id = each.key
  role       = google_project_iam_custom_role.inspection.id
  member     = "serviceAccount:${google_service_account.inspection.email}"
}

resource "google_service_account_iam_member" "gateway_as_reader" {
  for_each           = var.readers
  service_account_id = google_service_account.reader[each.key].name
  role               = google_project_iam_custom_role.impersonation.id
  member             = var.gateway
}

resource "google_service_account_iam_member" "gateway_as_inspection" {
  service_account_id = google_service_account.inspection.name
  role               = google_project_iam_custom_role.impersonation.id
  member             = var.gateway
}

# ── No other way: nobody else may run queries or read, and nobody from elsewhere

resource "google_iam_deny_policy" "only_bqgate" {
  parent = "cloudresourcemanager.googleapis.com%2Fprojects%2F${var.project}"
  name   = "bqgate-only"

  rules {
    deny_rule {
      denied_principals = ["principalSet://goog/public:all"]
      denied_permissions = [
        "bigquery.googleapis.com/jobs.create", "bigquery.googleapis.com/readsessions.create", "bigquery.googleapis.com/tables.getData",
      ]
      exception_principals = concat(
        [for account in google_service_account.reader : "principal://iam.googleapis.com/projects/-/serviceAccounts/${account.email}"],
        ["principal://iam.googleapis.com/projects/-/serviceAccounts/${google_service_account.inspection.email}", local.requesters],
        var.exempt,
      )
    }
  }
}

resource "google_access_context_manager_access_level" "gateway" {
  parent = "accessPolicies/${var.access_policy}"
  name   = "accessPolicies/${var.access_policy}/accessLevels/bqgate"
  title  = "bqgate"

  basic {
    conditions {
      ip_subnetworks = var.gateway_networks
    }
  }
}

resource "google_access_context_manager_service_perimeter" "bqgate" {
  parent = "accessPolicies/${var.access_policy}"
  name   = "accessPolicies/${var.access_policy}/servicePerimeters/bqgate"
  title  = "bqgate"

  status {
    resources           = ["projects/${var.project_number}"]
    restricted_services = ["bigquery.googleapis.com", "bigquerystorage.googleapis.com", "iamcredentials.googleapis.com", "sts.googleapis.com"]
    access_levels       = [google_access_context_manager_access_level.gateway.name]
  }
}
