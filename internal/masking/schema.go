package masking

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// schemaField is TableFieldSchema in an answer. It names every member that may be there, so that an unknown one is refused; what is not compared says
// nothing of a value.
type schemaField struct {
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Mode   string        `json:"mode"`
	Fields []schemaField `json:"fields"`

	Description            jsontext.Value `json:"description"`
	Categories             jsontext.Value `json:"categories"`
	PolicyTags             jsontext.Value `json:"policyTags"`
	DataPolicies           jsontext.Value `json:"dataPolicies"`
	DataGovernanceTagsInfo jsontext.Value `json:"dataGovernanceTagsInfo"`
	NameAlternative        jsontext.Value `json:"nameAlternative"`
	MaxLength              jsontext.Value `json:"maxLength"`
	Precision              jsontext.Value `json:"precision"`
	Scale                  jsontext.Value `json:"scale"`
	TimestampPrecision     jsontext.Value `json:"timestampPrecision"`
	RoundingMode           jsontext.Value `json:"roundingMode"`
	Collation              jsontext.Value `json:"collation"`
	DefaultValueExpression jsontext.Value `json:"defaultValueExpression"`
	RangeElementType       jsontext.Value `json:"rangeElementType"`
	ForeignTypeDefinition  jsontext.Value `json:"foreignTypeDefinition"`
}

// How BigQuery names what the query does not name.
var (
	anonymousColumn = regexp.MustCompile(`^f[0-9]+_$`)
	anonymousField  = regexp.MustCompile(`^_field_[0-9]+$`)
)

// matchSchema says where the schema of an answer is not that of the plan. The plan is right; an answer that differs is not the answer that was decided on.
func matchSchema(fields []schemaField, columns []Column, nested bool) error {
	if len(fields) != len(columns) {
		return fmt.Errorf("the answer has %d fields where the plan has %d", len(fields), len(columns))
	}
	for i, field := range fields {
		column := columns[i]
		if !sameName(field.Name, column.Name, nested) {
			return fmt.Errorf("field %d is not named as in the plan", i)
		}
		if kind := kindOf(field.Type); kind == "" || kind != kindOf(column.Type) {
			return fmt.Errorf("field %d is a %q where the plan has %q", i, field.Type, column.Type)
		}
		switch field.Mode {
		case "", "NULLABLE", "REQUIRED", "REPEATED":
		default:
			return fmt.Errorf("field %d has the unknown mode %q", i, field.Mode)
		}
		if (field.Mode == "REPEATED") != column.Repeated {
			return fmt.Errorf("field %d has mode %q, which is not that of the plan", i, field.Mode)
		}
		if err := matchSchema(field.Fields, column.Fields, true); err != nil {
			return fmt.Errorf("field %d: %w", i, err)
		}
	}
	return nil
}

func sameName(name, planned string, nested bool) bool {
	switch {
	case planned != "":
		return strings.EqualFold(name, planned)
	case nested:
		return anonymousField.MatchString(name)
	default:
		return anonymousColumn.MatchString(name)
	}
}
