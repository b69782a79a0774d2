package googlesql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Files is a Catalog of files: Folder holds `project.dataset.table.json` files, each a BigQuery Table resource as
// `bq show --format=json project:dataset.table` prints it.
type Files struct{ Folder string }

// Table reads a table's file. The resource inside must be of the table that the file is named for, or name none.
func (f Files) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	name := id.String() + ".json"
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	content, err := os.ReadFile(filepath.Join(f.Folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no file %s", ErrNotFound, id, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", id, err)
	}
	table := &bigquery.Table{}
	if err := json.Unmarshal(content, table); err != nil {
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
	return table, nil
}
