package fakegoogle

import (
	"slices"
	"strings"
)

func datasetReference(project, dataset string) object {
	return object{{"datasetId", dataset}, {"projectId", project}}
}

func (s *Server) listDatasets(project string) handler {
	return func(c *call) (object, *apiError) {
		cat, apiErr := s.catalog(c, "Project "+project)
		if apiErr != nil {
			return nil, apiErr
		}
		list := []any{}
		for _, name := range cat.Datasets {
			if p, d, _ := strings.Cut(name, "."); p == project {
				list = append(list, object{{"kind", "bigquery#dataset"}, {"id", p + ":" + d}, {"datasetReference", datasetReference(p, d)},
					{"location", s.Location()}})
			}
		}
		list, next, apiErr := c.cut(s, "datasets of "+project, list)
		if apiErr != nil {
			return nil, apiErr
		}
		return append(object{{"kind", "bigquery#datasetList"}, {"etag", etag("datasets")}, {"datasets", list}}, next...), nil
	}
}

func (s *Server) getDataset(project, dataset string) handler {
	return func(c *call) (object, *apiError) {
		cat, apiErr := s.catalog(c, "Dataset "+project+":"+dataset)
		if apiErr != nil {
			return nil, apiErr
		}
		if !slices.Contains(cat.Datasets, project+"."+dataset) {
			return nil, errNotFound("Not found: Dataset " + project + ":" + dataset)
		}
		out := object{
			{"kind", "bigquery#dataset"}, {"etag", etag(dataset)}, {"id", project + ":" + dataset},
			{"datasetReference", datasetReference(project, dataset)},
			{"access", []any{object{{"role", "OWNER"}, {"userByEmail", "owner@" + project + ".example"}}}}, {"location", s.Location()},
		}
		s.mu.Lock()
		source, linked := s.linked[project+"."+dataset]
		s.mu.Unlock()
		if !linked {
			return append(out, member{"type", "DEFAULT"}), nil
		}
		p, d, _ := strings.Cut(source, ".")
		return append(out, member{"type", "LINKED"}, member{"linkedDatasetSource", object{{"sourceDataset", datasetReference(p, d)}}}), nil
	}
}

func (s *Server) insertDataset(project string) handler {
	return func(c *call) (object, *apiError) {
		var b struct {
			DatasetReference tableRefBody `json:"datasetReference"`
		}
		if _, apiErr := decodeBody(c.body, &b); apiErr != nil {
			return nil, apiErr
		}
		if !c.may.CreateJobs || !c.may.ReadRows {
			return nil, errDenied("Access Denied: Project " + project + ": User does not have bigquery.datasets.create permission in " +
				"project " + project + ".")
		}
		name := b.DatasetReference.DatasetID
		if !validID(name) {
			return nil, errInvalid("Invalid dataset ID \"" + name + "\".")
		}
		if _, err := s.engine.Run(c.Context(), Statement{SQL: "CREATE SCHEMA `" + name + "`", Project: project}); err != nil {
			return nil, queryFailure(err)
		}
		s.version.Add(1)
		return object{{"kind", "bigquery#dataset"}, {"id", project + ":" + name}, {"datasetReference", datasetReference(project, name)},
			{"location", s.Location()}}, nil
	}
}
