package googlesql

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// The views of INFORMATION_SCHEMA that may be read, with their columns as BigQuery documents them,
// in the order of its pages (https://cloud.google.com/bigquery/docs/information-schema-intro,
// August 2026), and why others may not. BigQuery adds columns at any time; an answer that has
// others than these is refused, with words that say to name the columns.
//
//go:embed informationschema.json
var informationSchemaFile []byte

const informationSchemaWord = "INFORMATION_SCHEMA"

// typeInformationSchema is the Type of the made-up Table of such a view.
const typeInformationSchema = "INFORMATION_SCHEMA"

type informationSchemaKnown struct {
	Level  string   `json:"level"`  // "dataset" or "project"
	Hidden []string `json:"hidden"` // columns that show SQL
	Fields []bigquery.Field
	Names  []informationSchemaColumn `json:"columns"`
}

// informationSchemaColumn is a column as the file has it: its name, its type, "ARRAY" before it
// where it repeats, and the fields of a STRUCT, each written in the same way.
type informationSchemaColumn bigquery.Field

// UnmarshalJSON implements json.Unmarshaler.
func (c *informationSchemaColumn) UnmarshalJSON(text []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return err
	}
	if len(parts) < 2 {
		return fmt.Errorf("a column has a name and a type: %s", text)
	}
	if err := errors.Join(json.Unmarshal(parts[0], &c.Name), json.Unmarshal(parts[1], &c.Type)); err != nil {
		return err
	}
	if element, repeated := strings.CutPrefix(c.Type, "ARRAY "); repeated {
		c.Type, c.Mode = element, "REPEATED"
	}
	for _, part := range parts[2:] {
		var field informationSchemaColumn
		if err := json.Unmarshal(part, &field); err != nil {
			return err
		}
		c.Fields = append(c.Fields, bigquery.Field(field))
	}
	return nil
}

var informationSchemaViews, informationSchemaRefused = loadInformationSchema()

func loadInformationSchema() (map[string]informationSchemaKnown, map[string]string) {
	var file struct {
		Views   map[string]informationSchemaKnown `json:"views"`
		Refused map[string]string                 `json:"refused"` // by the beginning of the name
	}
	if err := json.Unmarshal(informationSchemaFile, &file); err != nil {
		panic(err) // the file is part of the program
	}
	for name, view := range file.Views {
		for _, c := range view.Names {
			view.Fields = append(view.Fields, bigquery.Field(c))
		}
		file.Views[name] = view
	}
	return file.Views, file.Refused
}

// isInformationSchema reports whether a name is that of a view of INFORMATION_SCHEMA.
func isInformationSchema(id bigquery.TableID) bool {
	return id.Dataset == informationSchemaWord || strings.HasPrefix(id.Table, informationSchemaWord+".")
}

// informationSchemaID completes the name of a view of INFORMATION_SCHEMA:
// [project.]dataset.INFORMATION_SCHEMA.VIEW, or [project.]INFORMATION_SCHEMA.VIEW.
func (j *job) informationSchemaID(parts []string) (bigquery.TableID, *Error) {
	written := strings.Join(parts, ".")
	refused := func(format string, args ...any) (bigquery.TableID, *Error) {
		return bigquery.TableID{}, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s: ", written) + fmt.Sprintf(format, args...)}
	}
	if len(parts) < 2 || len(parts) > 4 || parts[len(parts)-2] != informationSchemaWord {
		return refused("INFORMATION_SCHEMA is written in capitals before the name of one view, as in dataset.INFORMATION_SCHEMA.TABLES")
	}
	view, before := parts[len(parts)-1], parts[:len(parts)-2]
	known, ok := informationSchemaViews[view]
	if !ok {
		for prefix, why := range informationSchemaRefused {
			if strings.HasPrefix(view, prefix) {
				return refused("%s", why)
			}
		}
		return refused("this view is not known; those that are: %s", strings.Join(informationSchemaNames(), ", "))
	}
	for _, part := range before {
		if strings.HasPrefix(strings.ToLower(part), "region-") {
			if known.Level == "project" {
				return refused("the views of a region show every dataset in it; write INFORMATION_SCHEMA.%s", view)
			}
			return refused("the views of a region show every dataset in it; name one dataset, as in dataset.INFORMATION_SCHEMA.%s", view)
		}
	}
	project := j.query.Project
	if d := j.query.DefaultDataset; d != nil && d.ProjectID != project &&
		(len(before) == 0 || len(before) == 1 && known.Level == "dataset") {
		return refused("it could be in project %s or %s; write the project too", project, d.ProjectID)
	}
	if known.Level == "project" {
		switch len(before) {
		case 2:
			return refused("%s belongs to a project, not to a dataset; write INFORMATION_SCHEMA.%s", view, view)
		case 1:
			project = before[0]
		}
		return j.checkedInformationSchema(bigquery.TableID{Project: project, Dataset: informationSchemaWord, Table: view}, written)
	}
	switch len(before) {
	case 0:
		return refused("name the dataset, as in dataset.INFORMATION_SCHEMA.%s", view)
	case 2:
		project = before[0]
	}
	return j.checkedInformationSchema(bigquery.TableID{Project: project, Dataset: before[len(before)-1],
		Table: informationSchemaWord + "." + view}, written)
}

func (j *job) checkedInformationSchema(id bigquery.TableID, written string) (bigquery.TableID, *Error) {
	if !projectName.MatchString(id.Project) || !datasetName.MatchString(id.Dataset) {
		return bigquery.TableID{},
			&Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is not the name of a view of INFORMATION_SCHEMA", written)}
	}
	return id, nil
}

func informationSchemaNames() []string {
	var names []string
	for name := range informationSchemaViews {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// informationSchemaView makes up the table that such a view is.
func informationSchemaView(id bigquery.TableID) (*bigquery.Table, *Error) {
	name := strings.TrimPrefix(id.Table, informationSchemaWord+".")
	known, ok := informationSchemaViews[name]
	if !ok || (known.Level == "project") != (id.Dataset == informationSchemaWord) {
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is not known", id)}
	}
	return &bigquery.Table{TableReference: id, Type: typeInformationSchema, Schema: bigquery.Schema{Fields: known.Fields}}, nil
}

// showsSQL refuses a statement that reads a column in which BigQuery shows the text of views.
func (j *job) showsSQL(result *Statement, at int) *Error {
	for id, table := range j.tables {
		if table == nil || table.Type != typeInformationSchema || !slices.Contains(result.Tables, id.String()) {
			continue
		}
		for _, hidden := range informationSchemaViews[strings.TrimPrefix(id.Table, informationSchemaWord+".")].Hidden {
			column := id.String() + "." + hidden
			read := slices.ContainsFunc(result.Uses, func(u Use) bool { return u.Column == column })
			for _, c := range result.Columns {
				read = read || slices.ContainsFunc(c.Sources, func(s Source) bool { return s.Column == column })
			}
			if read {
				return j.at(at, ErrorUnsupported, "%s shows SQL that others wrote; name the columns you need, without it", column)
			}
		}
	}
	return nil
}
