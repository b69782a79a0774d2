// Command client runs one query with the unmodified Go client, in the way that is named, and prints what a user of the library would see.
//
//	client WAY SQL [JOB_ID]
//
// The gateway is the client's endpoint; the credentials are the application default ones (GOOGLE_APPLICATION_CREDENTIALS). It prints one line of
// JSON: {"rows": [[…], …]}, {"error": "what the error says"}, and what else the way has to show.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

type shown map[string]any

func main() {
	way, sql, job := os.Args[1], os.Args[2], ""
	if len(os.Args) > 3 {
		job = os.Args[3]
	}
	ctx := context.Background()
	client, err := bigquery.NewClient(ctx, os.Getenv("GOOGLE_CLOUD_PROJECT"), option.WithEndpoint(os.Getenv("BQGATE_REST")+"/bigquery/v2/"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out, err := run(ctx, client, way, sql, job)
	if out == nil {
		out = shown{}
	}
	if err != nil {
		out["error"] = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, client *bigquery.Client, way, sql, id string) (shown, error) {
	query := client.Query(sql)
	switch way {
	case "read": // jobs.query
		it, err := query.Read(ctx)
		return rows(it, err)
	case "run": // jobs.insert
		job, err := query.Run(ctx)
		if err != nil {
			return nil, err
		}
		status, err := job.Wait(ctx)
		if err != nil {
			return nil, err
		}
		if err := status.Err(); err != nil {
			return nil, err
		}
		it, err := job.Read(ctx)
		return rows(it, err)
	case "parameters":
		query.Parameters = []bigquery.QueryParameter{{Name: "id", Value: 3}}
		query.Labels = map[string]string{"team": "data"}
		it, err := query.Read(ctx)
		return rows(it, err)
	case "dry_run":
		query.DryRun = true
		job, err := query.Run(ctx)
		if err != nil {
			return nil, err
		}
		s := job.LastStatus()
		out := shown{"bytes": s.Statistics.TotalBytesProcessed}
		if q, ok := s.Statistics.Details.(*bigquery.QueryStatistics); ok {
			var names []string
			for _, f := range q.Schema {
				names = append(names, f.Name)
			}
			out["columns"] = names
		}
		return out, nil
	case "list_rows": // sql is the name of a table
		dataset, table, _ := strings.Cut(sql, ".")
		return rows(client.Dataset(dataset).Table(table).Read(ctx), nil)
	case "metadata":
		return metadata(ctx, client, sql)
	case "cancel":
		job, err := query.Run(ctx)
		if err != nil {
			return nil, err
		}
		time.Sleep(time.Second)
		out := shown{"job": job.ID()}
		if err := job.Cancel(ctx); err != nil {
			return out, err
		}
		out["cancelled"] = true
		it, err := job.Read(ctx)
		if err == nil {
			_, err = rows(it, nil)
		}
		return out, err
	case "start":
		job, err := query.Run(ctx)
		if err != nil {
			return nil, err
		}
		return shown{"job": job.ID()}, nil
	case "attach":
		job, err := client.JobFromID(ctx, id)
		if err != nil {
			return nil, err
		}
		it, err := job.Read(ctx)
		return rows(it, err)
	}
	return nil, fmt.Errorf("there is no way %q", way)
}

func rows(it *bigquery.RowIterator, err error) (shown, error) {
	if err != nil {
		return nil, err
	}
	all := [][]any{}
	for {
		var row []bigquery.Value
		switch err := it.Next(&row); {
		case errors.Is(err, iterator.Done):
			return shown{"rows": all}, nil
		case err != nil:
			return nil, err
		}
		var cells []any
		for _, v := range row {
			cells = append(cells, plain(v))
		}
		all = append(all, cells)
	}
}

func plain(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case []bigquery.Value:
		out := []any{}
		for _, e := range v {
			out = append(out, plain(e))
		}
		return out
	case string, bool:
		return v
	default:
		return fmt.Sprint(v)
	}
}

func metadata(ctx context.Context, client *bigquery.Client, name string) (shown, error) {
	dataset, table, _ := strings.Cut(name, ".")
	var datasets, tables, columns []string
	for it := client.Datasets(ctx); ; {
		d, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return nil, err
		}
		datasets = append(datasets, d.DatasetID)
	}
	for it := client.Dataset(dataset).Tables(ctx); ; {
		t, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return nil, err
		}
		tables = append(tables, t.TableID)
	}
	m, err := client.Dataset(dataset).Table(table).Metadata(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range m.Schema {
		columns = append(columns, f.Name)
	}
	return shown{"datasets": datasets, "tables": tables, "columns": columns}, nil
}
