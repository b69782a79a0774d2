package jsonmask

import "github.com/bqgate/bqgate/internal/masking"

// node is a Cell made ready for JSON: with its constant where it has one.
type node struct {
	act      masking.Action
	leaf     bool // a scalar, not an array of them
	part     part // for Compute: what the rule shows of the text, if a part of it
	rule     masking.Rule
	expect   masking.Rule // as Cell.Expect
	typ      string       // scalar type, "" for a STRUCT
	constant []byte       // for Replace; for Compute what stands for a text that is none of its type
	repeated bool         // an array, of which elem is the element
	elem     *node
	fields   []node // of a STRUCT
}

// compiler readies cells for answers whose TIMESTAMPs have one shape.
type compiler struct{ zero string }

func (c compiler) nodes(cells []masking.Cell) []node {
	all := make([]node, len(cells))
	for i := range cells {
		all[i] = c.node(&cells[i])
	}
	return all
}

func (c compiler) node(cell *masking.Cell) node {
	n := node{act: cell.Act, rule: cell.Rule, expect: cell.Expect, typ: cell.Type, leaf: cell.Scalar(), repeated: cell.Repeated}
	switch {
	case cell.Repeated:
		elem := c.node(cell.Elem)
		n.elem, n.constant = &elem, []byte("[]")
	case cell.Rule == masking.DefaultMaskingValue && cell.Fields != nil:
		n.fields = c.nodes(cell.Fields)
		n.constant = blankStruct(n.fields)
	case cell.Fields != nil:
		n.fields, n.constant = c.nodes(cell.Fields), []byte("null")
	case cell.Rule == masking.AlwaysNull || cell.Rule == "":
		n.constant = []byte("null")
	default:
		n.constant, n.part = c.constant(n.typ), partOf(n.rule)
	}
	return n
}

// blankStruct is the constant of a STRUCT whose fields are all constant.
func blankStruct(fields []node) []byte {
	b := []byte(`{"f":[`)
	for i, field := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"v":`...)
		b = append(b, field.constant...)
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// constant is the JSON of DEFAULT_MASKING_VALUE.
func (c compiler) constant(typ string) []byte {
	if typ == "TIMESTAMP" {
		return []byte(c.zero)
	}
	return []byte(`"` + masking.Default(typ) + `"`)
}
