package googlesql

import (
	"slices"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// uncertain says which names of a reference depend on columns that the table may lack, or may have
// beside the known ones; false if none does (A44).
func uncertain(table *bigquery.Table, place *wire.Place) (Uncertain, bool) {
	if table == nil || place == nil {
		return Uncertain{}, false
	}
	// every wildcard has it
	names := slices.DeleteFunc(slices.Clone(place.Names), func(name string) bool {
		return name == "_table_suffix" && len(table.Members) > 0
	})
	u := Uncertain{Table: table.TableReference.String(), Row: place.Row, Names: names}
	switch {
	case place.SystemTime != nil:
		u.Why = WhySystemTime
	case table.Type == typeInformationSchema:
		u.Why = WhyInformationSchema
	case len(table.Others) > 0:
		u.Why = WhyWildcard
	default: // its own columns are known
		u.Why, u.Row, u.Names = WhyPseudoColumns, false, nil
		for _, name := range names {
			if wire.PseudoName(name) {
				u.Names = append(u.Names, name)
			}
		}
		if u.Names == nil {
			return Uncertain{}, false
		}
	}
	return u, true
}
