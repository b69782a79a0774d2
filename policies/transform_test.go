package policies

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

func hashedTable() MaskedTable {
	return MaskedTable{Table: "p.d.t", Columns: []masking.Column{{Name: "s", Type: "STRING", Mask: masking.RandomHash}},
		Leaves: []MaskedLeaf{{"p.d.t.s", masking.RandomHash}}}
}

// TestTransformsInSQL: rules become expressions, and one that SQL cannot express is said to be so.
func TestTransformsInSQL(t *testing.T) {
	all, err := Transforms{hashedTable()}.sql([]byte("salt"))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	mask, ok := all[0].(googlesql.TableMask)
	if !ok || mask.Columns[0].Constant != "CAST(NULL AS STRING)" || !strings.Contains(mask.Columns[0].Expression, "bqgate_row.`s`") {
		t.Errorf("%+v", all[0])
	}
	var refused *googlesql.Error
	if _, err := (Transforms{hashedTable()}).sql(nil); !errors.As(err, &refused) || !strings.Contains(refused.Message, "p.d.t.s") {
		t.Errorf("without a salt: %v", err)
	}
}

// TestTransformsInRecords: what a record says of a text is read back in its order, or not at all.
func TestTransformsInRecords(t *testing.T) {
	second := hashedTable()
	second.Table = "p.d.a"
	want := Transforms{hashedTable(), second}
	text, err := json.Marshal(Transformed{Transforms: want})
	if err != nil {
		t.Fatal(err)
	}
	var got Transformed
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got.Transforms, want) {
		t.Errorf("%s: %+v, %v", text, got.Transforms, err)
	}
	if text, err := json.Marshal(Transforms{nil}); err == nil {
		t.Errorf("one that is none is written: %s", text)
	}
	for name, text := range map[string]string{
		"a kind of a later bqgate": `[{"masked_table": {"Table": "p.d.t"}}, {"row_filter": {"Table": "p.d.t"}}]`,
		"no kind":                  `[{}]`,
		"two kinds":                `[{"masked_table": {}, "row_filter": {}}]`,
		"none":                     `[null]`,
	} {
		t.Run(name, func(t *testing.T) {
			got := Transformed{}
			err := json.Unmarshal([]byte(`{"transforms": `+text+`}`), &got)
			if !errors.Is(err, ErrTransform) || got.Transforms != nil {
				t.Errorf("%+v, %v", got.Transforms, err)
			}
		})
	}
}
