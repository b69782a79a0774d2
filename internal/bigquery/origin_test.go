package bigquery

import (
	"fmt"
	"strings"
	"testing"
)

// What a table was made of is read strictly: what is not said, or said in part, is no table.
func TestWhatATableWasMadeOf(t *testing.T) {
	id := TableID{"demo", "crm", "snap"}
	const base = `{"projectId":"demo","datasetId":"crm","tableId":"people"}`
	for name, c := range map[string]struct{ body, want string }{
		"a table": {`"type":"TABLE"`, "none"},
		"a snapshot": {`"type":"SNAPSHOT","snapshotDefinition":{"baseTableReference":` + base +
			`,"snapshotTime":"2026-01-01T00:00:00Z"}`, "demo.crm.people"},
		"a clone": {
			`"type":"TABLE","cloneDefinition":{"baseTableReference":` + base + `,"cloneTime":"2026-01-01T00:00:00Z"}`, "demo.crm.people",
		},
		"more than is known": {`"type":"SNAPSHOT","snapshotDefinition":{"baseTableReference":` + base + `,"new":1}`,
			"demo.crm.people"},
		"a snapshot of nothing": {`"type":"SNAPSHOT"`, ""},
		"a clone of nothing":    {`"type":"CLONE"`, ""},
		"null":                  {`"type":"SNAPSHOT","snapshotDefinition":null`, ""},
		"an empty definition":   {`"type":"SNAPSHOT","snapshotDefinition":{}`, ""},
		"no project": {
			`"type":"SNAPSHOT","snapshotDefinition":{"baseTableReference":{"datasetId":"crm","tableId":"people"}}`, "",
		},
		"no dataset": {`"type":"TABLE","cloneDefinition":{"baseTableReference":{"projectId":"demo","tableId":"people"}}`,
			""},
		"no table": {`"type":"TABLE","cloneDefinition":{"baseTableReference":{"projectId":"demo","datasetId":"crm"}}`,
			""},
		"a definition that is a text": {`"type":"SNAPSHOT","snapshotDefinition":"demo.crm.people"`, ""},
		"said twice":                  {`"type":"TABLE","cloneDefinition":{"baseTableReference":` + base + `},"cloneDefinition":null`, ""},
		"both": {`"type":"SNAPSHOT","snapshotDefinition":{"baseTableReference":` + base +
			`},"cloneDefinition":{"baseTableReference":` + base + `}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c1 := start(t, &server{status: 200, body: fmt.Sprintf(`{"tableReference":{"projectId":"demo","datasetId":"crm",`+
				`"tableId":"snap"},%s,"schema":{"fields":[]}}`, c.body)})
			table, err := c1.GetTable(t.Context(), decided(t), id)
			got := ""
			if err == nil {
				got = "none"
				if of, _ := table.Base(); of != nil {
					got = of.String()
				}
			}
			if got != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// A linked dataset shows another one.
func TestWhatADatasetShows(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"its own":           {`"type":"DEFAULT"`, "none"},
		"nothing said":      {`"location":"US"`, "none"},
		"linked":            {`"type":"LINKED","linkedDatasetSource":{"sourceDataset":{"projectId":"demo","datasetId":"crm"}}`, "demo.crm"},
		"a source alone":    {`"linkedDatasetSource":{"sourceDataset":{"projectId":"demo","datasetId":"crm"}}`, "demo.crm"},
		"linked to nothing": {`"type":"LINKED"`, ""},
		"no project":        {`"type":"LINKED","linkedDatasetSource":{"sourceDataset":{"datasetId":"crm"}}`, ""},
		"no dataset":        {`"type":"LINKED","linkedDatasetSource":{"sourceDataset":{"projectId":"demo"}}`, ""},
		"an empty source":   {`"type":"LINKED","linkedDatasetSource":{}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			client := start(t, &server{status: 200, body: fmt.Sprintf(`{"datasetReference":{"projectId":"demo","datasetId":"share"},`+
				`%s}`, c.body)})
			d, err := client.GetDataset(t.Context(), decided(t), DatasetReference{"demo", "share"})
			got := ""
			if err == nil {
				got = "none"
				if source, _ := d.Source(); source != nil {
					got = source.String()
				}
			}
			if got != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
			if shown := string(DatasetAnswer(d)); strings.Contains(shown, "LINKED") || strings.Contains(shown, "sourceDataset") {
				t.Errorf("clients are shown %s", shown)
			}
		})
	}
}
