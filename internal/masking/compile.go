package masking

// action is what happens to the value of a node.
type action uint8

const (
	replace action = iota // by the node's constant, whatever the value is; the zero action
	compute               // from the value, by the node's rule
	pass                  // as it is; of a STRUCT or an array, its leaves decide
)

// node is a Column made ready: the rule that really applies, and its constant where it has one.
type node struct {
	act      action
	leaf     bool // a scalar, not an array of them
	part     part // for compute: what the rule shows of the text, if a part of it
	rule     Rule
	expect   Rule   // for compute: pass what can be a result of this rule, and break the answer off at anything else; rule is then Clear
	typ      string // scalar type, "" for a STRUCT
	constant []byte // JSON: the value for replace, and for compute what stands for a text that is none of its type
	repeated bool   // an array, of which elem is the element
	elem     *node
	fields   []node // of a STRUCT
}

// compiler readies a plan for answers whose TIMESTAMPs have one shape.
type compiler struct{ zero string }

// columns readies the columns under a rule that lies over all of them.
func (c compiler) columns(columns []Column, over Rule) []node {
	nodes := make([]node, len(columns))
	for i, column := range columns {
		nodes[i] = c.column(column, over)
	}
	return nodes
}

func (c compiler) column(column Column, over Rule) node {
	value := c.value(column, over)
	if !column.Repeated {
		return value
	}
	array := node{act: pass, repeated: true, elem: &value}
	rule := value.rule
	if value.fields != nil {
		rule = Stricter(over, cover(column))
	}
	if rule == AlwaysNull || rule == DefaultMaskingValue {
		array.act, array.constant = replace, []byte("[]")
	}
	return array
}

// value readies a column's value or, of an array, one element.
func (c compiler) value(column Column, over Rule) node {
	if isStruct(column.Type) {
		rule := Stricter(over, cover(column))
		n := node{act: pass, rule: rule, fields: c.columns(column.Fields, rule)}
		switch rule {
		case AlwaysNull:
			n.act, n.constant = replace, []byte("null")
		case DefaultMaskingValue:
			n.act, n.constant = replace, blankStruct(n.fields)
		}
		return n
	}
	rule := Stricter(over, column.Mask).For(column.Type)
	n := node{rule: rule, typ: scalarType(column.Type), leaf: true}
	switch rule {
	case Clear:
		n.act = pass
		if column.Expect != "" && column.Expect != Clear {
			n.act, n.expect = compute, column.Expect.For(column.Type)
		}
	case AlwaysNull:
		n.constant = []byte("null")
	case DefaultMaskingValue:
		n.constant = c.constant(n.typ)
	default:
		n.act, n.constant = compute, c.constant(n.typ)
		n.part = partOf(rule)
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
	return []byte(constants[typ])
}

// needsSalt says whether a node below uses RANDOM_HASH.
func needsSalt(nodes []node) bool {
	for i := range nodes {
		n := &nodes[i]
		if n.repeated {
			n = n.elem
		}
		if n.rule == RandomHash && n.act == compute || needsSalt(n.fields) {
			return true
		}
	}
	return false
}
