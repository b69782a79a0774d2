package config

import (
	"fmt"
	"slices"
	"strings"
)

// Checks say what becomes of jobs that the gateway cannot compare with what was decided.
type Checks struct {
	ReferencedTables ReferencedTables `yaml:"referenced_tables,omitempty"`
}

// Answer is what becomes of a job.
type Answer string

// Answers. The zero Answer is Refuse.
const (
	Refuse Answer = "refuse"
	Accept Answer = "accept"
)

// ReferencedTables says, for each construct of which BigQuery may not tell what a job read, whether
// its rows may be shown all the same. Default for each: refuse. Queries of tables with sensitive
// columns or with row access policies are refused whatever is said here.
type ReferencedTables struct {
	CachedResults     Answer `yaml:"cached_results,omitempty"`     // a cached result, of which BigQuery names no tables
	MissingTables     Answer `yaml:"missing_tables,omitempty"`     // a list that is missing, or lacks a table that the SQL names
	ManyTables        Answer `yaml:"many_tables,omitempty"`        // a list of 50 tables or more, which may be cut off
	InformationSchema Answer `yaml:"information_schema,omitempty"` // views of INFORMATION_SCHEMA by names that are not known
	MaterializedViews Answer `yaml:"materialized_views,omitempty"` // chosen by BigQuery, and not readable for the inspection account
	// RowAccessLookups are the tables that row access policies look into, by their full names: they
	// may be read by the jobs of queries that read a table with such policies.
	RowAccessLookups []string `yaml:"row_access_lookups,omitempty"`
}

// Answers are what is said, by key.
func (t ReferencedTables) Answers() map[string]Answer {
	return map[string]Answer{
		"cached_results": t.CachedResults, "missing_tables": t.MissingTables, "many_tables": t.ManyTables,
		"information_schema": t.InformationSchema, "materialized_views": t.MaterializedViews,
	}
}

func (c Checks) check() (errs []error) {
	const at = "checks.referenced_tables."
	answers := c.ReferencedTables.Answers()
	keys := make([]string, 0, len(answers))
	for key := range answers {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if v := answers[key]; v != "" && v != Refuse && v != Accept {
			errs = append(errs, fmt.Errorf("%s%s is %q, want refuse or accept", at, key, v))
		}
	}
	for _, name := range c.ReferencedTables.RowAccessLookups {
		if parts := strings.Split(name, "."); len(parts) != 3 || slices.Contains(parts, "") || strings.ContainsAny(name, "*`") {
			errs = append(errs, fmt.Errorf("%srow_access_lookups: %q is not project.dataset.table: name each table by itself", at, name))
		}
	}
	return errs
}
