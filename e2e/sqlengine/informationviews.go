package main

import (
	"context"
	"slices"
	"strings"
)

// informationView is one view of INFORMATION_SCHEMA: its columns as BigQuery documents them, in the
// order of the page, and its rows.
type informationView struct {
	project bool // of a project, not of a dataset
	columns []informationColumn
	rows    func(*informed) [][]any // a cell is nil, a string, an int64 or micros
}

type informationColumn struct{ name, kind string }

type micros int64

// informed is what rows are made from: the datasets of a project, or one of them.
type informed struct {
	engine           *engine
	ctx              context.Context
	project, dataset string // no dataset: all
}

func columnsOf(kinds string) []informationColumn {
	var out []informationColumn
	for _, line := range strings.Split(strings.TrimSpace(kinds), ",") {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		out = append(out, informationColumn{name, strings.ReplaceAll(kind, ";", ",")})
	}
	return out
}

// informationViews are the views by name. The columns are those of the pages
// https://cloud.google.com/bigquery/docs/information-schema-columns, -column-field-paths,
// -constraint-column-usage, -key-column-usage, -partitions, -datasets-schemata, -tables,
// -table-constraints, -table-options, -views and -routines as they were in August 2026. The pages
// call async_generation_status a STRUCT and name of it blocking_error.message alone; they write
// data_policies.name, "the list of data policies": a list of structs, here.
var informationViews = map[string]informationView{
	"TABLES": {rows: tablesRows, columns: columnsOf(`table_catalog STRING, table_schema STRING, table_name STRING, table_type STRING,
		managed_table_type STRING, is_insertable_into STRING, is_fine_grained_mutations_enabled STRING, is_typed STRING,
		is_change_history_enabled STRING, creation_time TIMESTAMP, base_table_catalog STRING, base_table_schema STRING,
		base_table_name STRING, snapshot_time_ms TIMESTAMP, replica_source_catalog STRING, replica_source_schema STRING,
		replica_source_name STRING, replication_status STRING, replication_error STRING, ddl STRING, default_collation_name STRING,
		sync_status JSON, upsert_stream_apply_watermark TIMESTAMP`)},
	"COLUMNS": {rows: columnsRows, columns: columnsOf(`table_catalog STRING, table_schema STRING, table_name STRING, column_name STRING,
		ordinal_position INT64, is_nullable STRING, data_type STRING, is_generated STRING, generation_expression STRING, is_stored STRING,
		async_generation_status STRUCT<blocking_error STRUCT<message STRING>>, is_hidden STRING, is_updatable STRING,
		is_system_defined STRING, is_partitioning_column STRING, clustering_ordinal_position INT64, collation_name STRING,
		column_default STRING, rounding_mode STRING, data_policies ARRAY<STRUCT<name STRING>>, policy_tags ARRAY<STRING>`)},
	"COLUMN_FIELD_PATHS": {rows: fieldPathsRows, columns: columnsOf(`table_catalog STRING, table_schema STRING, table_name STRING,
		column_name STRING, field_path STRING, data_type STRING, description STRING, collation_name STRING, rounding_mode STRING,
		data_policies ARRAY<STRUCT<name STRING>>, policy_tags ARRAY<STRING>`)},
	"PARTITIONS": {rows: partitionsRows, columns: columnsOf(`table_catalog STRING, table_schema STRING, table_name STRING,
		partition_id STRING, total_rows INT64, total_logical_bytes INT64, total_billable_bytes INT64, last_modified_time TIMESTAMP,
		storage_tier STRING`)},
	"TABLE_OPTIONS": {rows: tableOptionsRows, columns: columnsOf(`table_catalog STRING, table_schema STRING, table_name STRING,
		option_name STRING, option_type STRING, option_value STRING`)},
	"TABLE_CONSTRAINTS": {rows: noRows, columns: columnsOf(`constraint_catalog STRING, constraint_schema STRING, constraint_name STRING,
		table_catalog STRING, table_schema STRING, table_name STRING, constraint_type STRING, is_deferrable STRING,
		initially_deferred STRING, enforced STRING`)},
	"KEY_COLUMN_USAGE": {rows: noRows, columns: columnsOf(`constraint_catalog STRING, constraint_schema STRING, constraint_name STRING,
		table_catalog STRING, table_schema STRING, table_name STRING, column_name STRING, ordinal_position INT64,
		position_in_unique_constraint INT64`)},
	"CONSTRAINT_COLUMN_USAGE": {rows: noRows, columns: columnsOf(`table_catalog STRING, table_schema STRING, table_name STRING,
		column_name STRING, constraint_catalog STRING, constraint_schema STRING, constraint_name STRING`)},
	"VIEWS": {rows: viewsRows, columns: columnsOf(`table_catalog STRING, table_schema STRING, table_name STRING, view_definition STRING,
		check_option STRING, use_standard_sql STRING`)},
	"ROUTINES": {rows: routinesRows, columns: columnsOf(`specific_catalog STRING, specific_schema STRING, specific_name STRING,
		routine_catalog STRING, routine_schema STRING, routine_name STRING, routine_type STRING, data_type STRING, routine_body STRING,
		routine_definition STRING, external_language STRING, is_deterministic STRING, security_type STRING, created TIMESTAMP,
		last_altered TIMESTAMP, ddl STRING, connection STRING`)},
	"SCHEMATA": {project: true, rows: schemataRows, columns: columnsOf(`catalog_name STRING, schema_name STRING, schema_owner STRING,
		creation_time TIMESTAMP, last_modified_time TIMESTAMP, location STRING, ddl STRING, default_collation_name STRING, sync_status JSON`)},
}

func noRows(*informed) [][]any { return nil }

// tables are those that are told of, in the order of their names.
func (i *informed) tables() []tableRow {
	return slices.DeleteFunc(i.engine.catalog.tableRows(), func(t tableRow) bool {
		return t.ID.Project != i.project || i.dataset != "" && t.ID.Dataset != i.dataset
	})
}

// made is a time in the order in which tables were made, as tables.get of the stand-in has it.
func made(t tableRow) micros { return micros(1700000000000+t.Made) * 1000 }
