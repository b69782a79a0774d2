package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/bqgate/bqgate/internal/durable"
)

// Limits of a listing. Larger ones are an error: what a caller may know of them cannot be said
// without reading all.
const (
	listPage  = "1000"
	listPages = 50
)

// ErrTooMany says that a dataset or project has more entries than the gateway lists.
var ErrTooMany = errors.New("more entries than are listed")

// GetDataset reads a dataset's name, location and, of a linked one, its source (datasets.get,
// metadata only) under the inspection identity. One that is not there is ErrNotFound.
func (c *Client) GetDataset(ctx context.Context, w durable.Facts, ref DatasetReference) (ListedDataset, error) {
	path, err := datasetPath(ref)
	if err != nil {
		return ListedDataset{}, fmt.Errorf("get dataset: %w", err)
	}
	body, err := c.inspect(ctx, w, http.MethodGet, path, url.Values{"datasetView": {"METADATA"}}, nil)
	if err != nil {
		return ListedDataset{}, fmt.Errorf("get dataset %s.%s: %w", ref.ProjectID, ref.DatasetID, err)
	}
	var d ListedDataset
	if err := readWhole(body, &d); err != nil {
		return ListedDataset{}, fmt.Errorf("get dataset %s.%s: read answer: %w", ref.ProjectID, ref.DatasetID, err)
	}
	if d.Reference != ref {
		return ListedDataset{}, fmt.Errorf("get dataset %s.%s: BigQuery answered about %s.%s", ref.ProjectID, ref.DatasetID,
			d.Reference.ProjectID, d.Reference.DatasetID)
	}
	if _, err := d.Source(); err != nil {
		return ListedDataset{}, fmt.Errorf("get dataset %s.%s: %w", ref.ProjectID, ref.DatasetID, err)
	}
	return d, nil
}

func datasetPath(ref DatasetReference) (string, error) {
	if !projectID.MatchString(ref.ProjectID) || !datasetID.MatchString(ref.DatasetID) {
		return "", fmt.Errorf("%w: not the name of a dataset", ErrNotFound)
	}
	return "projects/" + ref.ProjectID + "/datasets/" + ref.DatasetID, nil
}

// ListDatasets reads all visible datasets of a project, in BigQuery's order.
func (c *Client) ListDatasets(ctx context.Context, w durable.Facts, project string) ([]ListedDataset, error) {
	if !projectID.MatchString(project) {
		return nil, fmt.Errorf("list datasets: %w: not a project id", ErrNotFound)
	}
	var all []ListedDataset
	err := c.pages(ctx, w, "projects/"+project+"/datasets", func(body []byte) (string, error) {
		var page struct {
			Datasets []ListedDataset `json:"datasets"`
			Next     string          `json:"nextPageToken"`
		}
		if err := readWhole(body, &page); err != nil {
			return "", err
		}
		for _, d := range page.Datasets {
			if d.Reference.ProjectID != project {
				return "", errors.New("BigQuery answered about another project")
			}
		}
		all = append(all, page.Datasets...)
		return page.Next, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list datasets of %s: %w", project, err)
	}
	return all, nil
}

// ListTables reads all tables of a dataset, in BigQuery's order. A dataset that is not there is
// ErrNotFound.
func (c *Client) ListTables(ctx context.Context, w durable.Facts, ref DatasetReference) ([]ListedTable, error) {
	path, err := datasetPath(ref)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var all []ListedTable
	err = c.pages(ctx, w, path+"/tables", func(body []byte) (string, error) {
		var page struct {
			Tables []ListedTable `json:"tables"`
			Next   string        `json:"nextPageToken"`
		}
		if err := readWhole(body, &page); err != nil {
			return "", err
		}
		for _, t := range page.Tables {
			if t.Reference.Project != ref.ProjectID || t.Reference.Dataset != ref.DatasetID {
				return "", errors.New("BigQuery answered about another dataset")
			}
		}
		all = append(all, page.Tables...)
		return page.Next, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tables of %s.%s: %w", ref.ProjectID, ref.DatasetID, err)
	}
	return all, nil
}

// pages reads a listing to its end.
func (c *Client) pages(ctx context.Context, w durable.Facts, path string, read func(body []byte) (next string, err error)) error {
	query := url.Values{"maxResults": {listPage}}
	for range listPages {
		body, err := c.inspect(ctx, w, http.MethodGet, path, query, nil)
		if err != nil {
			return err
		}
		next, err := read(body)
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if next == "" {
			return nil
		}
		query.Set("pageToken", next)
	}
	return ErrTooMany
}
