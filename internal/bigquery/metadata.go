package bigquery

import (
	"net/url"
	"slices"
	"strings"
)

// Metadata as the gateway shows it: rebuilt from names, types and modes alone. Not shown, because
// it may hold values, tell of others or lead elsewhere: the text of views and routines,
// descriptions, labels, default expressions, access lists, policy tags, external sources, sizes and
// times.

// ListedDataset is what the gateway reads of a dataset.
type ListedDataset struct {
	Reference DatasetReference `json:"datasetReference"`
	Location  string           `json:"location"`
	Type      string           `json:"type"` // DEFAULT, PUBLIC, LINKED or EXTERNAL; not shown, nor is the next

	LinkedDatasetSource *LinkedSource `json:"linkedDatasetSource"`
}

// ListedTable is what the gateway reads of an entry of tables.list.
type ListedTable struct {
	Reference TableID `json:"tableReference"`
	Type      string  `json:"type"`
	// milliseconds since the epoch; says which member of a wildcard table is the newest, and is not
	// shown
	CreationTime string `json:"creationTime"`
}

type projectAnswer struct {
	Kind             string           `json:"kind"`
	ID               string           `json:"id"`
	NumericID        string           `json:"numericId"`
	ProjectReference projectReference `json:"projectReference"`
	FriendlyName     string           `json:"friendlyName"`
}

type projectReference struct {
	ProjectID string `json:"projectId"`
}

type projectList struct {
	Kind     string          `json:"kind"`
	Projects []projectAnswer `json:"projects,omitempty"`
	Total    int             `json:"totalItems"`
	Next     string          `json:"nextPageToken,omitempty"`
}

// ProjectList answers projects.list. numericId is 0: the number of a project is another name for
// it, which the gateway does not take.
func ProjectList(ids []string, next string) []byte {
	list := projectList{Kind: "bigquery#projectList", Total: len(ids), Next: next}
	for _, id := range ids {
		list.Projects = append(list.Projects,
			projectAnswer{Kind: "bigquery#project", ID: id, NumericID: "0", ProjectReference: projectReference{id}, FriendlyName: id})
	}
	return written(list)
}

type datasetAnswer struct {
	Kind      string           `json:"kind"`
	ID        string           `json:"id"`
	SelfLink  string           `json:"selfLink,omitempty"`
	Reference DatasetReference `json:"datasetReference"`
	Location  string           `json:"location,omitempty"`
	Type      string           `json:"type,omitempty"`
}

type datasetList struct {
	Kind     string          `json:"kind"`
	Datasets []datasetAnswer `json:"datasets,omitempty"`
	Next     string          `json:"nextPageToken,omitempty"`
}

func datasetOf(d ListedDataset) datasetAnswer {
	return datasetAnswer{Kind: "bigquery#dataset", ID: d.Reference.ProjectID + ":" + d.Reference.DatasetID, Reference: d.Reference,
		Location: d.Location}
}

// DatasetList answers datasets.list.
func DatasetList(all []ListedDataset, next string) []byte {
	list := datasetList{Kind: "bigquery#datasetList", Next: next}
	for _, d := range all {
		list.Datasets = append(list.Datasets, datasetOf(d))
	}
	return written(list)
}

// DatasetAnswer answers datasets.get.
func DatasetAnswer(d ListedDataset) []byte {
	a := datasetOf(d)
	a.SelfLink = selfLink("projects", d.Reference.ProjectID, "datasets", d.Reference.DatasetID)
	a.Type = "DEFAULT"
	return written(a)
}

type tableAnswer struct {
	Kind      string       `json:"kind"`
	ID        string       `json:"id"`
	SelfLink  string       `json:"selfLink,omitempty"`
	Reference TableID      `json:"tableReference"`
	Type      string       `json:"type"`
	Location  string       `json:"location,omitempty"`
	Schema    *shownSchema `json:"schema,omitempty"`
}

type tableList struct {
	Kind   string        `json:"kind"`
	Tables []tableAnswer `json:"tables,omitempty"`
	Total  int           `json:"totalItems"`
	Next   string        `json:"nextPageToken,omitempty"`
}

// tableTypes are the words that a table may be shown with.
var tableTypes = []string{"TABLE", "VIEW", "MATERIALIZED_VIEW", "EXTERNAL", "SNAPSHOT", "CLONE"}

func tableOf(id TableID, kind string) tableAnswer {
	if !slices.Contains(tableTypes, kind) {
		kind = "TABLE"
	}
	return tableAnswer{Kind: "bigquery#table", ID: id.Project + ":" + id.Dataset + "." + id.Table, Reference: id, Type: kind}
}

// TableList answers tables.list; total is the number of tables that the caller may know of.
func TableList(all []ListedTable, total int, next string) []byte {
	list := tableList{Kind: "bigquery#tableList", Total: total, Next: next}
	for _, t := range all {
		list.Tables = append(list.Tables, tableOf(t.Reference, t.Type))
	}
	return written(list)
}

// TableAnswer answers tables.get.
func TableAnswer(t *Table) []byte {
	a := tableOf(t.TableReference, t.Type)
	a.SelfLink = selfLink("projects", t.TableReference.Project, "datasets", t.TableReference.Dataset, "tables", t.TableReference.Table)
	a.Location = t.Location
	a.Schema = shown(t.Schema)
	return written(a)
}

// shownSchema is TableSchema as clients get it.
type shownSchema struct {
	Fields []shownField `json:"fields"`
}

type shownField struct {
	Name   string       `json:"name"`
	Type   string       `json:"type"`
	Mode   string       `json:"mode"`
	Fields []shownField `json:"fields,omitempty"`
}

func shown(s Schema) *shownSchema { return &shownSchema{shownFields(s.Fields)} }

func shownFields(fields []Field) []shownField {
	out := make([]shownField, 0, len(fields))
	for _, f := range fields {
		mode := strings.ToUpper(f.Mode)
		if mode != "REQUIRED" && mode != "REPEATED" {
			mode = "NULLABLE"
		}
		shown := shownField{Name: f.Name, Type: APIType(f.Type), Mode: mode}
		if len(f.Fields) > 0 {
			shown.Fields = shownFields(f.Fields)
		}
		out = append(out, shown)
	}
	return out
}

// apiTypes maps GoogleSQL's names of types to those that the API has always answered with.
var apiTypes = map[string]string{"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}

// APIType is a type's name as the API answers it: INTEGER for INT64.
func APIType(t string) string {
	t = strings.ToUpper(t)
	if old, ok := apiTypes[t]; ok {
		return old
	}
	return t
}

func selfLink(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "https://bigquery.googleapis.com" + Root + strings.Join(parts, "/")
}
