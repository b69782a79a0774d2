// Package deploy says what bqgate's identities may do at Google, and why: the one list that the
// Terraform module, gcloud.sh and docs/operators.md are compared with.
package deploy

// Role is a custom role with the permissions of one job.
type Role struct {
	ID          string
	Permissions []Permission
}

// Permission is one permission, and what it is for.
type Permission struct{ Name, Why string }

// Roles are the custom roles. The predefined ones that have these permissions can do much more.
var Roles = []Role{
	{"bqgateReader", []Permission{ // on the datasets of a tier: its account, or the requesters themselves
		{"bigquery.routines.get", "functions that a query calls"},
		{"bigquery.tables.get", "what a query reads, and its schema"},
		{"bigquery.tables.getData", "the rows"},
	}},
	{"bqgateRunner", []Permission{ // in the project: the same
		{"bigquery.jobs.create", "queries, which who created them may read and cancel"},
	}},
	{"bqgateInspection", []Permission{ // on every dataset that the policies name: the inspection account
		{"bigquery.datasets.get", "where a dataset lies"},
		{"bigquery.routines.get", "what a function does"},
		{"bigquery.rowAccessPolicies.list", "whether a table's rows differ by who asks"},
		{"bigquery.tables.get", "schemas and views"},
		{"bigquery.tables.list", "what a wildcard stands for"},
	}},
	{"bqgateInspectionJobs", []Permission{ // in the project: the inspection account
		{"bigquery.jobs.create", "dry runs"},
		{"bigquery.jobs.get", "what other accounts' jobs have read"},
	}},
	{"bqgateImpersonation", []Permission{ // on each account: the gateway's own identity
		{"iam.serviceAccounts.getAccessToken", "a token of minutes for one run"},
	}},
}
