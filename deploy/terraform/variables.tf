variable "project" {
  description = "Id of the project in which the gateway's queries run, with the pool and the accounts."
  type        = string
}

variable "project_number" {
  description = "Its number, as principals of the pool are spelt with it."
  type        = string
}

variable "issuer_url" {
  description = "The gateway as the pool's issuer: `credentials.issuer.url` of its configuration. Nothing is served there."
  type        = string
}

variable "jwks_json" {
  description = "Its public keys, as `bqgate credentials jwks` prints them: file(\"jwks.json\"). Never a URL that somebody else may serve."
  type        = string
}

variable "pool_id" {
  description = "Id of the workload identity pool, which is the gateway's alone."
  type        = string
  default     = "bqgate"
}

variable "provider_id" {
  description = "Id of its one provider."
  type        = string
  default     = "gateway"
}

variable "gateway" {
  description = "The gateway's own identity (`credentials.source`): serviceAccount:… or principal://…, of no pool that has requesters in it."
  type        = string
}

variable "readers" {
  description = "A service account for each tier of data (`credentials.accounts`), with the datasets that it reads."
  type        = map(list(string))
}

variable "federated_datasets" {
  description = "Datasets that requesters read as themselves (`federated:` accounts); row access policies tell them apart."
  type        = list(string)
  default     = []
}

variable "inspected_datasets" {
  description = "All datasets that the policies name, once each: the inspection account sees their schemas, and never rows."
  type        = list(string)
}

variable "exempt" {
  description = "Principals that reach BigQuery past the gateway: loads, administrators. principal://goog/subject/ana@acme.example."
  type        = list(string)
  default     = []
}

variable "access_policy" {
  description = "Number of the organisation's access policy."
  type        = string
}

variable "gateway_networks" {
  description = "Addresses from which the gateway and Envoy reach Google, as CIDR. Only from there BigQuery answers."
  type        = list(string)
}
