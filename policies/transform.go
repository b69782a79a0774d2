package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// Transform is one change that must be made in the text of a query before it may run. The kinds are
// those of this package, each in a file of its own beside the question that demands it
// (MaskedTable: rewrite.go). A new one needs its googlesql.Transform, a question, and a line in
// readTransform; Decide, the rewriting and its proof stay as they are.
type Transform interface {
	// kind is its name in records.
	kind() string
	// sql is the transform as googlesql.Rewrite takes it. The salt is for RANDOM_HASH. An error
	// that is a *googlesql.Error says why there is none.
	sql(salt []byte) (googlesql.Transform, error)
	// masks lists the leaf columns that it changes, with the rules that it masks them by.
	masks() []MaskedLeaf
}

// Transforms are made in their order: where two change how one table is read, the first one reads
// the table, and the next what came of the first.
type Transforms []Transform

// Transformed is what was made of a query's text, for Decide to be asked again.
type Transformed struct {
	Transforms Transforms `json:"transforms"` // as the Decision demanded them
	// Proof is the analysis of the text with a constant in place of each expression of a transform.
	// What it shows of a sensitive column is read unmasked.
	Proof *googlesql.Analysis `json:"proof"`
}

// sql are the transforms as googlesql.Rewrite takes them. The salt is for RANDOM_HASH. An error
// that is a *googlesql.Error names what SQL cannot express.
func (t Transforms) sql(salt []byte) ([]googlesql.Transform, error) {
	all := make([]googlesql.Transform, len(t))
	for i := range t {
		var err error
		if all[i], err = t[i].sql(salt); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ErrTransform is returned for a record with a transform of a kind that this bqgate does not know:
// nobody can say then what its text hides.
var ErrTransform = errors.New("the text was transformed in a way that this version of bqgate does not know")

// MarshalJSON implements json.Marshaler: a list of objects, each with its kind as the name of its
// only member.
func (t Transforms) MarshalJSON() ([]byte, error) {
	all := make([]map[string]Transform, len(t))
	for i := range t {
		if t[i] == nil {
			return nil, fmt.Errorf("%w: transform %d is none", ErrTransform, i)
		}
		all[i] = map[string]Transform{t[i].kind(): t[i]}
	}
	return json.Marshal(all)
}

// UnmarshalJSON implements json.Unmarshaler. A kind that is not known is an ErrTransform.
func (t *Transforms) UnmarshalJSON(text []byte) error {
	var all []map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("read transforms: %w", err)
	}
	made := make(Transforms, len(all))
	for i, one := range all {
		if len(one) != 1 {
			return fmt.Errorf("%w: transform %d has %d kinds", ErrTransform, i, len(one))
		}
		for kind, said := range one {
			var err error
			if made[i], err = readTransform(kind, said); err != nil {
				return fmt.Errorf("read transform %d: %w", i, err)
			}
		}
	}
	*t = made
	return nil
}

func readTransform(kind string, said json.RawMessage) (Transform, error) {
	switch kind {
	case kindMaskedTable:
		var t MaskedTable
		err := json.Unmarshal(said, &t)
		return t, err
	default:
		return nil, fmt.Errorf("%w: %s", ErrTransform, shorten(fmt.Sprintf("%q", kind)))
	}
}

// masked lists the leaf columns that are masked, sorted.
func (t Transforms) masked() []MaskedLeaf {
	var all []MaskedLeaf
	for _, one := range t {
		for _, leaf := range one.masks() {
			if leaf.Rule != masking.Clear {
				all = append(all, leaf)
			}
		}
	}
	slices.SortFunc(all, func(a, b MaskedLeaf) int { return strings.Compare(a.Column, b.Column) })
	return slices.Compact(all)
}

// applied is the rule by which a leaf was masked in the text. Where several transforms disagree
// there is none.
func (t Transforms) applied(column string) (masking.Rule, bool) {
	rule, found := masking.Rule(""), false
	for _, one := range t {
		for _, leaf := range one.masks() {
			if leaf.Column != column {
				continue
			}
			if found && rule != leaf.Rule {
				return "", false
			}
			rule, found = leaf.Rule, true
		}
	}
	return rule, found
}

// transform demands transforms. The refusal is the one that stands where they are not made; cannot
// leads from its words to why they cannot be.
func (e *evaluation) transform(refusal error, cannot string, all ...Transform) {
	e.decision.Transforms = append(e.decision.Transforms, all...)
	if e.untransformed == nil {
		e.untransformed, e.cannot = refusal, cannot
	}
}

// transformed: what was demanded of the text has been made in it.
func (e *evaluation) transformed() error { return e.untransformed }
