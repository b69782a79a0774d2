package masking

// Rule is a mask rule by BigQuery's own name (DataMaskingPolicy.PredefinedExpression).
type Rule string

// Rules. Clear is not a rule of BigQuery: it says that a cell may pass as it is.
// The zero Rule is not Clear: an unset rule masks with the strictest one.
const (
	Clear               Rule = "CLEAR"
	SHA256              Rule = "SHA256"
	AlwaysNull          Rule = "ALWAYS_NULL"
	DefaultMaskingValue Rule = "DEFAULT_MASKING_VALUE"
	LastFourCharacters  Rule = "LAST_FOUR_CHARACTERS"
	FirstFourCharacters Rule = "FIRST_FOUR_CHARACTERS"
	EmailMask           Rule = "EMAIL_MASK"
	DateYearMask        Rule = "DATE_YEAR_MASK"
	RandomHash          Rule = "RANDOM_HASH"
)

// Plan says what every cell of a result may show. It is bound to one job and is the only thing that
// says what is in a column: a response's own schema is never believed. A Plan without columns
// allows no row.
type Plan struct {
	Columns []Column `json:"columns"`
	// Sensitive is true when the query touches a sensitive column: run-time error text is then
	// replaced.
	Sensitive bool `json:"sensitive,omitempty"`
	// Metadata is true for all columns of a view of INFORMATION_SCHEMA, none of which is masked.
	// BigQuery has had them in several orders and types, and not all of them everywhere: an
	// answer's schema says which it has, by name. Columns that the plan lacks are not the planned
	// answer.
	Metadata bool `json:"metadata,omitempty"`
	// Told is true where Columns are those of an answer's schema.
	Told bool `json:"told,omitempty"`
}

// Column is one output column, or one field of a STRUCT.
type Column struct {
	// as BigQuery names it in the result ("f0_" for anonymous columns); checked against the
	// answer's schema
	Name     string `json:"name"`
	Type     string `json:"type"`               // scalar GoogleSQL type name (STRING, INT64, …), "STRUCT"
	Repeated bool   `json:"repeated,omitempty"` // ARRAY of Type
	Mask     Rule   `json:"mask,omitempty"`     // for scalars; on a STRUCT or an array it covers everything below
	// Expect is set on a scalar that BigQuery was made to mask itself: its values must be results
	// of this rule, and the answer is broken off where one cannot be.
	Expect Rule     `json:"expect,omitempty"`
	Fields []Column `json:"fields,omitempty"` // of a STRUCT, in order
	// Ambiguous is set where another column of the result has the name too, or may be given it:
	// BigQuery then adds to one of them (a_1), and by what rule is not documented. Such columns are
	// known by their places alone.
	Ambiguous bool `json:"ambiguous,omitempty"`
}
