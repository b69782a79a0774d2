package masking

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Version is that of the plans which this bqgate seals into verdicts and records. It grows whenever
// a member of Plan or Column comes to be, goes, or comes to mean something else. There is one for
// all codecs: how rows are written is no part of a plan.
const Version = 1

// ErrVersion is returned for a plan that was sealed by a bqgate with another Version, or before
// there were any: what may be shown under it is not known.
var ErrVersion = errors.New("the plan is of another version of bqgate")

// sealedPlan is a Plan as it is sealed.
type sealedPlan struct {
	Version int `json:"version"`
	members
}

// members is a Plan without its methods, whose members stand beside the version.
type members Plan

// MarshalJSON implements json.Marshaler: the form in which the gateway keeps plans for itself.
func (p Plan) MarshalJSON() ([]byte, error) {
	return json.Marshal(sealedPlan{Version, members(p)})
}

// UnmarshalJSON implements json.Unmarshaler. It returns ErrVersion for a plan of another version,
// and refuses members that are not known: each of them may say that something is hidden.
func (p *Plan) UnmarshalJSON(text []byte) error {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	switch {
	case head.Version == 0:
		return fmt.Errorf("%w: it has none, and this one reads version %d", ErrVersion, Version)
	case head.Version != Version:
		return fmt.Errorf("%w: it has version %d, and this one reads version %d", ErrVersion, head.Version, Version)
	}
	var made sealedPlan
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&made); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	*p = Plan(made.members)
	return nil
}
