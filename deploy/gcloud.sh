#!/usr/bin/env bash
# What bqgate needs at Google, with the least rights: the same as terraform/ (a test compares both).
#
#   PROJECT=acme PROJECT_NUMBER=123456789012 ISSUER_URL=https://bqgate.acme.example \
#   JWKS_FILE=jwks.json GATEWAY=serviceAccount:gateway@acme.iam.gserviceaccount.com \
#   READERS="crm=crm,sales finance=finance" FEDERATED_DATASETS="crm" \
#   INSPECTED_DATASETS="crm sales finance" EXEMPT="principal://goog/subject/ana@acme.example" \
#   ACCESS_POLICY=987654321 GATEWAY_NETWORKS="203.0.113.0/28" deploy/gcloud.sh
#
# READERS are tiers of data, each with its datasets; JWKS_FILE is what `bqgate credentials jwks`
# prints.
set -euo pipefail
: "${PROJECT:?}" "${PROJECT_NUMBER:?}" "${ISSUER_URL:?}" "${JWKS_FILE:?}" "${GATEWAY:?}" "${READERS:?}" "${INSPECTED_DATASETS:?}"
: "${ACCESS_POLICY:?}" "${GATEWAY_NETWORKS:?}"
pool=${POOL_ID:-bqgate} provider=${PROVIDER_ID:-gateway}
requesters="principalSet://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$pool/*"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The pool: it trusts what the gateway signs after its decision, and no token that an agent can
# hold.
gcloud iam workload-identity-pools create "$pool" --project="$PROJECT" --location=global --display-name=bqgate
gcloud iam workload-identity-pools providers create-oidc "$provider" --project="$PROJECT" --location=global \
  --workload-identity-pool="$pool" --issuer-uri="$ISSUER_URL" --jwk-json-path="$JWKS_FILE" \
  --attribute-mapping="google.subject=assertion.sub" \
  --attribute-condition="assertion.iss == '$ISSUER_URL' && has(assertion.sub)"

# Roles.
role() {
  gcloud iam roles create "$1" --project="$PROJECT" --title="$2" --permissions="$3"
}
role bqgateReader "bqgate reader" bigquery.routines.get,bigquery.tables.get,bigquery.tables.getData
role bqgateRunner "bqgate runner" bigquery.jobs.create
role bqgateInspection "bqgate inspection" \
  bigquery.datasets.get,bigquery.routines.get,bigquery.rowAccessPolicies.list,bigquery.tables.get,bigquery.tables.list
role bqgateInspectionJobs "bqgate inspection of jobs" bigquery.jobs.create,bigquery.jobs.get
role bqgateImpersonation "bqgate impersonation" iam.serviceAccounts.getAccessToken

# Accounts by tier, and who may what.
account() { # ID, display name, role in the project
  gcloud iam service-accounts create "$1" --project="$PROJECT" --display-name="$2"
  gcloud projects add-iam-policy-binding "$PROJECT" --role="projects/$PROJECT/roles/$3" \
    --member="serviceAccount:$1@$PROJECT.iam.gserviceaccount.com" --condition=None
  gcloud iam service-accounts add-iam-policy-binding "$1@$PROJECT.iam.gserviceaccount.com" --project="$PROJECT" \
    --role="projects/$PROJECT/roles/bqgateImpersonation" --member="$GATEWAY"
}
reads() { # member, role, dataset
  bq query --project_id="$PROJECT" --use_legacy_sql=false "GRANT \`projects/$PROJECT/roles/$2\` ON SCHEMA \`$PROJECT.$3\` TO '$1'"
}
exceptions=()
for reader in $READERS; do
  name=bqgate-${reader%%=*}
  account "$name" "bqgate: reads ${reader%%=*}" bqgateRunner
  exceptions+=("principal://iam.googleapis.com/projects/-/serviceAccounts/$name@$PROJECT.iam.gserviceaccount.com")
  for dataset in $(tr , ' ' <<<"${reader#*=}"); do
    reads "serviceAccount:$name@$PROJECT.iam.gserviceaccount.com" bqgateReader "$dataset"
  done
done
account bqgate-inspection "bqgate: schemas, dry runs and jobs; no rows" bqgateInspectionJobs
for dataset in $INSPECTED_DATASETS; do
  reads "serviceAccount:bqgate-inspection@$PROJECT.iam.gserviceaccount.com" bqgateInspection "$dataset"
done
gcloud projects add-iam-policy-binding "$PROJECT" --role="projects/$PROJECT/roles/bqgateRunner" --member="$requesters" --condition=None
for dataset in ${FEDERATED_DATASETS:-}; do
  reads "$requesters" bqgateReader "$dataset"
done

# No other way: nobody else may run queries or read, and nobody from elsewhere.
exceptions+=("principal://iam.googleapis.com/projects/-/serviceAccounts/bqgate-inspection@$PROJECT.iam.gserviceaccount.com" "$requesters")
for principal in ${EXEMPT:-}; do
  exceptions+=("$principal")
done
cat >"$tmp/deny.json" <<JSON
{"rules": [{"denyRule": {
  "deniedPrincipals": ["principalSet://goog/public:all"],
  "deniedPermissions": ["bigquery.googleapis.com/jobs.create", "bigquery.googleapis.com/readsessions.create",
    "bigquery.googleapis.com/tables.getData"],
  "exceptionPrincipals": [$(printf '"%s",' "${exceptions[@]}" | sed 's/,$//')]}}]}
JSON
gcloud iam policies create bqgate-only --kind=denypolicies --policy-file="$tmp/deny.json" \
  --attachment-point="cloudresourcemanager.googleapis.com/projects/$PROJECT"
cat >"$tmp/level.yaml" <<YAML
- ipSubnetworks: [$(tr ' ' , <<<"$GATEWAY_NETWORKS")]
YAML
gcloud access-context-manager levels create bqgate --policy="$ACCESS_POLICY" --title=bqgate --basic-level-spec="$tmp/level.yaml"
gcloud access-context-manager perimeters create bqgate --policy="$ACCESS_POLICY" --title=bqgate \
  --resources="projects/$PROJECT_NUMBER" --access-levels=bqgate \
  --restricted-services=bigquery.googleapis.com,bigquerystorage.googleapis.com,iamcredentials.googleapis.com,sts.googleapis.com
