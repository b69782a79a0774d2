package googlesql

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Files is a Catalog of files: Folder holds `project.dataset.table.json` files, each a BigQuery
// Table resource as `bq show --format=json project:dataset.table` prints it, and
// `project.dataset.routine.routine.json` files, each a Routine resource as
// `bq show --routine --format=json project:dataset.routine` prints it. The members of a wildcard
// table are the tables that have files. A table has row access policies if there is a file
// `project.dataset.table.rowAccessPolicies.json` that lists any: an answer of
// rowAccessPolicies.list, or only its list. A dataset is a linked one if a file
// `project.dataset.json` says so, a Dataset resource as `bq show --format=json project:dataset`
// prints it.
type Files struct{ Folder string }

const longestFileName = 255 // bytes, on the file systems there are; a longer name has no file, while BigQuery's may have 1,024

// read gives what is in a file of the folder; fs.ErrNotExist where there is none, or can be none of
// that name.
func (f Files) read(name string) ([]byte, error) {
	if !filepath.IsLocal(name) || filepath.Base(name) != name || len(name) > longestFileName {
		return nil, fs.ErrNotExist
	}
	return os.ReadFile(filepath.Join(f.Folder, name))
}

// Table reads a table's file. The resource inside must be of the table that the file is named for,
// or name none.
func (f Files) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	name := id.String() + ".json"
	content, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no file %s", ErrNotFound, id, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", id, err)
	}
	table, err := bigquery.ReadTable(content)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s from %s: %w", id, name, err)
	}
	if table.TableReference == (bigquery.TableID{}) {
		table.TableReference = id
	}
	if table.Type == "" {
		table.Type = "TABLE"
	}
	if table.TableReference != id {
		return nil, fmt.Errorf("reading the schema of %s: the file %s is of %s", id, name, table.TableReference)
	}
	if _, err := table.Base(); err != nil {
		return nil, fmt.Errorf("reading the schema of %s from %s: %w", id, name, err)
	}
	return table, nil
}

// Routine reads a routine's file. The resource inside must be of the routine that the file is named
// for, or name none.
func (f Files) Routine(_ context.Context, id bigquery.RoutineID) (*bigquery.Routine, error) {
	name := id.String() + routineSuffix
	content, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no file %s", ErrNotFound, id, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the routine %s: %w", id, err)
	}
	routine, err := bigquery.ReadRoutine(content)
	if err != nil {
		return nil, fmt.Errorf("reading the routine %s from %s: %w", id, name, err)
	}
	if routine.RoutineReference == (bigquery.RoutineID{}) {
		routine.RoutineReference = id
	}
	if routine.RoutineReference != id {
		return nil, fmt.Errorf("reading the routine %s: the file %s is of %s", id, name, routine.RoutineReference)
	}
	return routine, nil
}

// RowAccess reads a table's list of row access policies. What the policies say is not kept.
func (f Files) RowAccess(_ context.Context, id bigquery.TableID) (bigquery.RowAccess, error) {
	name := id.String() + rowAccessSuffix
	content, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return bigquery.RowAccessNone, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the row access policies of %s: %w", id, err)
	}
	var answer struct {
		Policies []json.RawMessage `json:"rowAccessPolicies"`
	}
	if text := bytes.TrimSpace(content); bytes.HasPrefix(text, []byte("[")) {
		err = json.Unmarshal(text, &answer.Policies)
	} else {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&answer)
	}
	if err != nil {
		return "", fmt.Errorf("reading the row access policies of %s: %s is no answer of rowAccessPolicies.list, and no list", id, name)
	}
	if len(answer.Policies) == 0 {
		return bigquery.RowAccessNone, nil
	}
	return bigquery.RowAccessPolicies, nil
}

const (
	routineSuffix   = ".routine.json"
	rowAccessSuffix = ".rowAccessPolicies.json"
)

// Dataset reads a dataset's file. A dataset without a file is not a linked one.
func (f Files) Dataset(_ context.Context, d bigquery.DatasetReference) (*bigquery.ListedDataset, error) {
	name := d.String() + ".json"
	content, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &bigquery.ListedDataset{Reference: d}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the dataset %s: %w", d, err)
	}
	dataset := &bigquery.ListedDataset{}
	if err := json.Unmarshal(content, dataset); err != nil {
		return nil, fmt.Errorf("reading the dataset %s from %s: %w", d, name, err)
	}
	if dataset.Reference == (bigquery.DatasetReference{}) {
		dataset.Reference = d
	}
	if dataset.Reference != d {
		return nil, fmt.Errorf("reading the dataset %s: the file %s is of %s", d, name, dataset.Reference)
	}
	return dataset, nil
}

// IsTable reports whether a file of such a folder is that of a table.
func (Files) IsTable(name string) bool {
	return strings.Count(filepath.Base(name), ".") != strings.Count("project.dataset.json", ".") && strings.HasSuffix(name, ".json") &&
		!strings.HasSuffix(name, routineSuffix) && !strings.HasSuffix(name, rowAccessSuffix)
}

// Tables lists the tables of a dataset that have files.
func (f Files) Tables(ctx context.Context, d bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	entries, err := os.ReadDir(f.Folder)
	if err != nil {
		return nil, fmt.Errorf("listing the tables of %s: %w", d, err)
	}
	var items []bigquery.ListedTable
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		rest, ours := strings.CutPrefix(name, d.String()+".")
		if !ok || !ours || !f.IsTable(e.Name()) || strings.Contains(rest, ".") {
			continue
		}
		table, err := f.Table(ctx, bigquery.TableID{Project: d.ProjectID, Dataset: d.DatasetID, Table: rest})
		if err != nil {
			return nil, err
		}
		items = append(items, bigquery.ListedTable{Reference: table.TableReference, Type: table.Type, CreationTime: table.CreationTime})
	}
	return items, nil
}
