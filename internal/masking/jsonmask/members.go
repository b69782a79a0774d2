package jsonmask

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/bqgate/bqgate/internal/coarse"

	"github.com/bqgate/bqgate/internal/masking"
)

// shape is what a member's value must be.
type shape uint8

const (
	word   shape = iota + 1 // a string
	number                  // an unsigned 64-bit integer, which the API writes as a string
	size                    // a number of bytes, which goes out rounded
	truth                   // true or false
	object                  // checked by its own code
)

// members are the members of an answer that may pass. All others are dropped: `errors` quotes
// values, `dmlStats` and statistics of stages count rows that the agent does not see, and what is
// new is not known.
var members = map[string]shape{
	"kind": word, "etag": word, "pageToken": word, "queryId": word, "location": word,
	"totalRows": number, "creationTime": number, "startTime": number, "endTime": number, "totalBytesProcessed": size,
	"totalBytesBilled": size,
	"jobComplete":      truth, "cacheHit": truth,
	"jobReference": object, "jobCreationReason": object, "schema": object, "rows": object,
}

// withheld are members that each answer of jobs.query has and that do not pass: nobody needs to be
// told that they were dropped. What runs here is a SELECT, and slots tell of rows that the agent
// does not see.
var withheld = []string{"statementType", "totalSlotMs"}

func (m *Results) keeps(name string) bool {
	if _, ok := members[name]; !ok {
		return false
	}
	// An etag is a digest of the raw answer: with it, a guess of the masked values could be
	// checked.
	if name == "etag" && m.masks {
		return false
	}
	return m.options.Keep == nil || m.options.Keep(name)
}

// learn checks a known member, remembers what it says and rounds what goes out rounded. Dropped
// members are checked as well: the answer is believed whole or not at all.
func (m *Results) learn(name string) error {
	value := jsontext.Value(m.value)
	var err error
	switch members[name] {
	case word:
		var text string
		if err = json.Unmarshal(value, &text); err == nil && value.Kind() != '"' {
			err = errors.New("not a string")
		}
		if name == "pageToken" {
			m.head.PageToken = text
		}
	case number:
		var n uint64
		if n, err = readNumber(value); err == nil && name == "totalRows" {
			m.head.TotalRows = &n
		}
	case size:
		var n uint64
		if n, err = readNumber(value); err == nil {
			m.value = strconv.AppendInt(append(m.value[:0], '"'), coarse.Bytes(int64(min(n, math.MaxInt64))), 10)
			m.value = append(m.value, '"')
		}
	case truth:
		var yes bool
		if err = json.Unmarshal(value, &yes); err == nil && value.Kind() == 'n' {
			err = errors.New("not a boolean")
		}
		if name == "jobComplete" {
			m.head.JobComplete = &yes
		}
	case object:
		err = m.learnObject(name, value)
	}
	if err != nil {
		return fmt.Errorf("member %q: %w", name, err)
	}
	return nil
}

func readNumber(value jsontext.Value) (uint64, error) {
	text := string(value)
	if value.Kind() == '"' {
		if err := json.Unmarshal(value, &text); err != nil {
			return 0, err
		}
	}
	return strconv.ParseUint(text, 10, 64)
}

func (m *Results) learnObject(name string, value jsontext.Value) error {
	if value.Kind() != '{' {
		return errors.New("not an object")
	}
	switch name {
	case "jobReference":
		var r struct {
			JobReference `json:",embed"`
			Unknown      jsontext.Value `json:",embed"`
		}
		if err := json.Unmarshal(value, &r); err != nil {
			return err
		}
		m.dropUnknown(r.Unknown, name)
		m.head.JobReference = r.JobReference
		return m.rewrite(r.JobReference)
	case "jobCreationReason":
		var r struct {
			Code    string         `json:"code"`
			Unknown jsontext.Value `json:",embed"`
		}
		if err := json.Unmarshal(value, &r); err != nil {
			return err
		}
		m.dropUnknown(r.Unknown, name)
		r.Unknown = nil
		return m.rewrite(r)
	case "schema":
		var s schema
		if err := json.Unmarshal(value, &s); err != nil {
			return err
		}
		m.head.HasSchema = true
		columns, err := told(s.Fields)
		if err != nil {
			return err
		}
		if err := m.plan.Match(columns); err != nil {
			return err
		}
		if err := m.resolve(columns); err != nil {
			return err
		}
		s.shown(m.dropUnknown)
		return m.rewrite(s)
	}
	return nil
}

// resolve remembers how the answer calls the columns of the plan, and where only it says which
// columns there are, what they are.
func (m *Results) resolve(told []masking.Column) error {
	if m.plan.Untold() {
		m.head.Columns = told
	} else {
		m.head.Columns = slices.Clone(m.plan.Columns)
		for i := range told {
			m.head.Columns[i].Name = told[i].Name
		}
		return nil
	}
	if m.seen["rows"] {
		return errors.New("the schema, which says which columns there are, comes after the rows")
	}
	m.rows.columns, m.rows.untold = m.compile.nodes(masking.Cells(m.head.Columns)), false
	return nil
}

// rewrite puts what is known of a member in its place.
func (m *Results) rewrite(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	m.value = append(m.value[:0], text...)
	return nil
}

// maxDropped bounds how many names of dropped members are remembered.
const maxDropped = 16

// dropUnknown remembers the names of an object's members that do not go out.
func (m *Results) dropUnknown(unknown jsontext.Value, of string) {
	if len(unknown) == 0 {
		return
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(unknown, &members) != nil {
		return
	}
	for name := range members {
		m.drop(of + "." + name)
	}
}

func (m *Results) drop(name string) {
	if len(name) <= 200 && len(m.head.Dropped) < maxDropped && !slices.Contains(m.head.Dropped, name) {
		m.head.Dropped = append(m.head.Dropped, name)
	}
}
