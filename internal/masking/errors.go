package masking

import "errors"

// Errors by which a caller tells why an answer was refused, whatever its codec.
var (
	// ErrCap is returned when an answer is larger than the policy allows (attack A35).
	ErrCap = errors.New("the result is larger than the policy allows")
	// ErrUnplanned is returned for a whole and valid answer that is not what was planned: it has
	// other columns, types or rows, or something longer than any answer of BigQuery's. Asked again,
	// BigQuery would answer the same.
	ErrUnplanned = errors.New("the answer is not the one that was planned")
	// ErrUntold is returned for rows without, or before, the schema that alone says which columns
	// they have (Plan.Metadata).
	ErrUntold = errors.New("which columns there are is not known before an answer's schema")
)
