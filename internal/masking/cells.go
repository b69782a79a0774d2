package masking

// Action is what happens to the value of a Cell.
type Action uint8

// Actions. The zero Action shows nothing of the value.
const (
	Replace Action = iota // by the constant of the Cell's rule, whatever the value is
	Compute               // from the value, by the Cell's rule
	Pass                  // as it is; of a STRUCT or an array, its parts decide
)

// Cell is a column of a plan made ready for a codec: the rule that really applies to it, with all
// that lies over it. A codec adds how values are written in its form, and nothing else: what may be
// shown is the same in each.
type Cell struct {
	Act    Action
	Rule   Rule
	Expect Rule   // for Compute, under Clear: pass what can be a result of this rule, and break the answer off at anything else
	Type   string // plain GoogleSQL name of a scalar, "" for a STRUCT
	// Repeated is an array, of which Elem is the element. Where it is to be replaced, the empty
	// array stands for it.
	Repeated bool
	Elem     *Cell
	Fields   []Cell // of a STRUCT
}

// Scalar says whether the cell is one, not an array of them.
func (c *Cell) Scalar() bool { return !c.Repeated && c.Fields == nil }

// Cells readies the columns of the plan, in their order.
func (p Plan) Cells() []Cell { return Cells(p.Columns) }

// Cells readies columns that nothing lies over.
func Cells(columns []Column) []Cell { return cells(columns, Clear) }

// cells readies columns under a rule that lies over all of them.
func cells(columns []Column, over Rule) []Cell {
	all := make([]Cell, len(columns))
	for i, column := range columns {
		all[i] = column.cell(over)
	}
	return all
}

func (c Column) cell(over Rule) Cell {
	value := c.value(over)
	if !c.Repeated {
		return value
	}
	array := Cell{Act: Pass, Repeated: true, Elem: &value}
	rule := value.Rule
	if value.Fields != nil {
		rule = Stricter(over, cover(c))
	}
	if rule == AlwaysNull || rule == DefaultMaskingValue {
		array.Act, array.Rule = Replace, rule
	}
	return array
}

// value readies a column's value or, of an array, one element.
func (c Column) value(over Rule) Cell {
	if isStruct(c.Type) {
		rule := Stricter(over, cover(c))
		made := Cell{Act: Pass, Rule: rule, Fields: cells(c.Fields, rule)}
		if rule == AlwaysNull || rule == DefaultMaskingValue {
			made.Act = Replace
		}
		return made
	}
	rule := Stricter(over, c.Mask).For(c.Type)
	made := Cell{Rule: rule, Type: scalarType(c.Type)}
	switch rule {
	case Clear:
		made.Act = Pass
		if c.Expect != "" && c.Expect != Clear {
			made.Act, made.Expect = Compute, c.Expect.For(c.Type)
		}
	case AlwaysNull, DefaultMaskingValue:
	default:
		made.Act = Compute
	}
	return made
}

// NeedsSalt says whether a cell below uses RANDOM_HASH.
func NeedsSalt(all []Cell) bool {
	for i := range all {
		c := &all[i]
		if c.Repeated {
			c = c.Elem
		}
		if c.Rule == RandomHash && c.Act == Compute || NeedsSalt(c.Fields) {
			return true
		}
	}
	return false
}
