package extauthz

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/policies"
)

// A rule such as `read: demo.*.pay` stands for many datasets. Of each it shows one table, and so
// the dataset only where that table is in it.
const (
	datasetsLooked = 200 // datasets that are looked into for one listing
	datasetsAtOnce = 8   // at the same time
)

func (s *Service) listDatasets(ctx context.Context, a asked, reach policies.Reach, project string) (ruling, error) {
	name := "project " + project
	rule, named, ok := reach.Project(project)
	if !ok {
		return ruling{}, hidden(name)
	}
	all, err := shared(ctx, &s.datasets, a.ask.Facts, listingsKept, listedFor, project,
		func(ctx context.Context, f durable.Facts) ([]bigquery.ListedDataset, error) {
			return s.Metadata.ListDatasets(ctx, f, project)
		})
	if err != nil {
		return under(rule, nil), missing(err, name)
	}
	open, err := s.open(ctx, a, reach, all)
	switch {
	case err != nil:
		return under(rule, nil), missing(err, name)
	case len(open) == 0 && !named:
		return under(rule, nil), hidden(name)
	}
	shown, next, err := page(s, a, project, open, func(d bigquery.ListedDataset) string { return d.Reference.DatasetID })
	return under(rule, bigquery.DatasetList(shown, next)), err
}

func (s *Service) getDataset(
	ctx context.Context, a asked, reach policies.Reach, ref bigquery.DatasetReference,
) (ruling, error) {
	name, rule, err := s.seeDataset(ctx, a, reach, ref)
	if err != nil {
		return ruling{}, err
	}
	facts, err := a.ask.Facts(ctx)
	if err != nil {
		return under(rule, nil), err
	}
	d, err := s.Metadata.GetDataset(ctx, facts, ref)
	if err != nil {
		return under(rule, nil), missing(err, name)
	}
	return under(rule, bigquery.DatasetAnswer(d)), nil
}

// under is a ruling by one rule that answers.
func under(rule policies.RuleRef, body []byte) ruling {
	return ruling{judged: judged{decision: policies.Decision{Rule: rule}}, then: answers{body: body}}
}

// open are the datasets that the subject may know of, in their order.
func (s *Service) open(ctx context.Context, a asked, reach policies.Reach, all []bigquery.ListedDataset) ([]bigquery.ListedDataset, error) {
	seen, looked := make([]bool, len(all)), 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(datasetsAtOnce)
	for i, d := range all {
		switch sight, _ := reach.Dataset(d.Reference.ProjectID, d.Reference.DatasetID); sight {
		case policies.Seen:
			seen[i] = true
		case policies.SeenByName:
			if looked++; looked > datasetsLooked {
				break
			}
			g.Go(func() (err error) {
				_, seen[i], err = s.sees(ctx, a, reach, d.Reference)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if looked > datasetsLooked {
		return nil, &refusal.Refusal{
			What: fmt.Sprintf("your rules name tables without saying in which datasets, and more than %d datasets would have to "+
				"be looked into", datasetsLooked),
			Remedy: "naming the dataset",
		}
	}
	var open []bigquery.ListedDataset
	for i, d := range all {
		if seen[i] {
			open = append(open, d)
		}
	}
	return open, nil
}

// seeDataset goes on only for who may know of a dataset, and gives the words by which it is named.
func (s *Service) seeDataset(
	ctx context.Context, a asked, reach policies.Reach, ref bigquery.DatasetReference,
) (name string, rule policies.RuleRef, err error) {
	name = "dataset " + ref.DatasetID
	rule, seen, err := s.sees(ctx, a, reach, ref)
	switch {
	case err != nil:
		return name, rule, missing(err, name)
	case !seen:
		return name, rule, hidden(name)
	}
	return name, rule, nil
}

// sees says whether the subject may know of a dataset. Where that depends on what is in it,
// BigQuery is asked about the tables that the rules name, and for a list only where they stand for
// many.
func (s *Service) sees(ctx context.Context, a asked, reach policies.Reach, ref bigquery.DatasetReference) (policies.RuleRef, bool, error) {
	sight, rule := reach.Dataset(ref.ProjectID, ref.DatasetID)
	if sight != policies.SeenByName {
		return rule, sight == policies.Seen, nil
	}
	names, all := reach.Tables(ref.ProjectID, ref.DatasetID)
	for _, name := range names {
		_, err := s.Catalog(a.ask).Table(ctx, bigquery.TableID{Project: ref.ProjectID, Dataset: ref.DatasetID, Table: name})
		if err == nil {
			return rule, true, nil
		}
		if !notThere(err) {
			return rule, false, err
		}
	}
	if all {
		return rule, false, nil
	}
	list, err := s.tablesOf(ctx, a, ref)
	if err != nil {
		if notThere(err) {
			err = nil
		}
		return rule, false, err
	}
	for _, t := range list {
		if _, ok := reach.Table(t.Reference); ok {
			return rule, true, nil
		}
	}
	return rule, false, nil
}

func (s *Service) tablesOf(ctx context.Context, a asked, ref bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	return shared(ctx, &s.tables, a.ask.Facts, listingsKept, listedFor, ref,
		func(ctx context.Context, f durable.Facts) ([]bigquery.ListedTable, error) {
			return s.Metadata.ListTables(ctx, f, ref)
		})
}
