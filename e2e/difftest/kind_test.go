package difftest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// kind is a GoogleSQL type.
type kind struct {
	name    string // a scalar's name, ARRAY or STRUCT
	element *kind
	names   []string
	fields  []*kind
}

var scalars = map[string]*kind{}

func scalar(name string) *kind {
	k, ok := scalars[name]
	if !ok {
		k = &kind{name: name}
		scalars[name] = k
	}
	return k
}

var (
	text      = scalar("STRING")
	integer   = scalar("INT64")
	float     = scalar("FLOAT64")
	truth     = scalar("BOOL")
	numeric   = scalar("NUMERIC")
	big       = scalar("BIGNUMERIC")
	day       = scalar("DATE")
	datetime  = scalar("DATETIME")
	clock     = scalar("TIME")
	timestamp = scalar("TIMESTAMP")
	raw       = scalar("BYTES")
	document  = scalar("JSON")
)

func arrayOf(k *kind) *kind { return &kind{name: "ARRAY", element: k} }

func structOf(names []string, fields ...*kind) *kind {
	return &kind{name: "STRUCT", names: names, fields: fields}
}

func (k *kind) String() string {
	switch {
	case k.element != nil:
		return "ARRAY<" + k.element.String() + ">"
	case k.name == "STRUCT":
		parts := make([]string, len(k.fields))
		for i, f := range k.fields {
			parts[i] = strings.TrimSpace(k.names[i] + " " + f.String())
		}
		return "STRUCT<" + strings.Join(parts, ", ") + ">"
	}
	return k.name
}

func (k *kind) is(o *kind) bool { return k == o || k.String() == o.String() }

// groupable reports whether values can be compared for equality by GROUP BY and DISTINCT.
func (k *kind) groupable() bool { return k.element == nil && k.name != "STRUCT" && k.name != "JSON" }

// orderable reports whether values can be sorted.
func (k *kind) orderable() bool { return k.groupable() }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
