package bigquery

import (
	"fmt"
)

// Snapshot is SnapshotDefinition: of a table that shows another one as it was at a moment.
type Snapshot struct {
	BaseTableReference TableID `json:"baseTableReference"`
	SnapshotTime       string  `json:"snapshotTime,omitempty"`
}

// Clone is CloneDefinition: of a table that began as a copy of another one. Type says TABLE of it.
type Clone struct {
	BaseTableReference TableID `json:"baseTableReference"`
	CloneTime          string  `json:"cloneTime,omitempty"`
}

// Origin is a table whose rows another table shows: the base of a snapshot or clone, or the table
// of the same name in the dataset that a linked dataset stands for.
type Origin struct {
	ID    TableID
	Table *Table // as it is now, with its own Origins; nil where there is none of that name any more
}

// Base is the table that a snapshot or clone was made of; nil for a table that is neither. A
// definition that does not say it is an error.
func (t *Table) Base() (*TableID, error) {
	var base *TableID
	switch {
	case t.SnapshotDefinition != nil && t.CloneDefinition != nil:
		return nil, fmt.Errorf("%w: %s is said to be a snapshot and a clone", ErrNotUnderstood, t.TableReference)
	case t.SnapshotDefinition != nil:
		base = &t.SnapshotDefinition.BaseTableReference
	case t.CloneDefinition != nil:
		base = &t.CloneDefinition.BaseTableReference
	case t.Type == "SNAPSHOT", t.Type == "CLONE":
		return nil, fmt.Errorf("%w: %s is a %s, and what it was made of is not said", ErrNotUnderstood, t.TableReference, t.Type)
	default:
		return nil, nil
	}
	if base.Project == "" || base.Dataset == "" || base.Table == "" {
		return nil, fmt.Errorf("%w: %s is a snapshot or clone, and the name of its base table is not complete",
			ErrNotUnderstood, t.TableReference)
	}
	return base, nil
}

// LinkedSource is LinkedDatasetSource: the dataset that a linked dataset shows.
type LinkedSource struct {
	SourceDataset DatasetReference `json:"sourceDataset"`
}

// Source is the dataset that a linked dataset shows; nil for a dataset of its own.
func (d *ListedDataset) Source() (*DatasetReference, error) {
	if d.LinkedDatasetSource == nil {
		if d.Type == "LINKED" {
			return nil, fmt.Errorf("%w: the dataset is linked, and its source is not said", ErrNotUnderstood)
		}
		return nil, nil
	}
	source := &d.LinkedDatasetSource.SourceDataset
	if source.ProjectID == "" || source.DatasetID == "" {
		return nil, fmt.Errorf("%w: the dataset is linked, and the name of its source is not complete", ErrNotUnderstood)
	}
	return source, nil
}
