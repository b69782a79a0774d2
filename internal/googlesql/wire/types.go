package wire

import "strings"

// SQL is the type as a statement spells it, with its names quoted. They must be plain.
func (t Type) SQL() string {
	switch {
	case t.Element != nil:
		return "ARRAY<" + t.Element.SQL() + ">"
	case len(t.Fields) > 0:
		fields := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			fields[i] = f.Type.SQL()
			if f.Name != "" {
				fields[i] = "`" + f.Name + "` " + fields[i]
			}
		}
		return "STRUCT<" + strings.Join(fields, ", ") + ">"
	default:
		return t.Name
	}
}
