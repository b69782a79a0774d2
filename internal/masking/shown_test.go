package masking

import (
	"errors"
	"fmt"
	"testing"
)

// What an answer told of the columns makes a plan for those that tell nothing: it changes names,
// and no mask.
func TestShownPlan(t *testing.T) {
	plan := Plan{Columns: []Column{
		{Name: "a", Type: "STRING", Mask: AlwaysNull, Ambiguous: true}, {Name: "a", Type: "INT64", Mask: Clear, Ambiguous: true},
	}}
	told := []Column{{Name: "a", Type: "STRING"}, {Name: "a_1", Type: "INTEGER"}}
	shown, err := plan.Shown(told)
	if err != nil || shown.Columns[0].Mask != AlwaysNull || shown.Columns[1].Name != "a_1" || plan.Columns[1].Name != "a" {
		t.Fatalf("%+v, %v", shown, err)
	}
	views := Plan{Metadata: true, Columns: []Column{{Name: "a", Type: "STRING", Mask: Clear}, {Name: "b", Type: "STRING", Mask: Clear}}}
	of, err := views.Shown([]Column{{Name: "b", Type: "STRUCT", Mask: Clear, Fields: []Column{{Name: "y", Type: "STRING", Mask: Clear}}}})
	if err != nil || len(of.Columns) != 1 || of.Untold() {
		t.Fatalf("%+v, %v", of, err)
	}
	for name, c := range map[string]struct {
		plan Plan
		told []Column
	}{
		"another name":     {plan, []Column{told[0], {Name: "b", Type: "INTEGER"}}},
		"another type":     {plan, []Column{told[0], {Name: "a_1", Type: "STRING"}}},
		"an array":         {plan, []Column{{Name: "a", Type: "STRING", Repeated: true}, told[1]}},
		"another place":    {plan, []Column{told[1], told[0]}},
		"a column less":    {plan, told[:1]},
		"metadata, a new":  {views, []Column{{Name: "c", Type: "STRING", Mask: Clear}}},
		"metadata, twice":  {views, []Column{{Name: "a", Type: "STRING", Mask: Clear}, {Name: "A", Type: "STRING", Mask: Clear}}},
		"metadata, masked": {views, []Column{{Name: "a", Type: "STRING"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.plan.Shown(c.told); !errors.Is(err, ErrShape) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	// An answer that is under way goes by either; deciding again finds the same, and a mask that
	// came since.
	for _, pair := range [][2]Plan{{plan, shown}, {shown, plan}, {plan, plan}, {shown, shown}, {views, of}, {of, views}, {views, views},
		{of, of}} {
		same, err := StricterPlan(pair[0], pair[0])
		if err != nil {
			t.Fatal(err)
		}
		joined, err := StricterPlan(pair[0], pair[1])
		if err != nil || fmt.Sprint(joined) != fmt.Sprint(same) {
			t.Errorf("%+v, %v, want %+v", joined, err, same)
		}
		masked := pair[1]
		masked.Columns = append([]Column{}, masked.Columns...)
		last := len(masked.Columns) - 1
		masked.Metadata, masked.Columns[last] = false,
			Column{Name: masked.Columns[last].Name, Type: masked.Columns[last].Type, Mask: AlwaysNull, Ambiguous: !pair[1].Metadata}
		if joined, err = StricterPlan(pair[0], masked); err == nil && joined.Columns[last].Mask != AlwaysNull {
			t.Errorf("a new mask is lost: %+v, %v", joined, err)
		}
	}
}
