package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// What is kept of a long text of a request that was refused: its beginning and its end.
const (
	keptHead = 8 << 10 // bytes
	keptTail = 1 << 10
	keptList = 100 // members of a list
	// keptReason is of an error's text, which may quote what somebody else wrote.
	keptReason = 2 << 10
)

// Cut says that a member of a record is not whole: what it was.
type Cut struct {
	Member string `json:"member"` // its name in JSON
	Bytes  int    `json:"bytes"`  // of the whole text; of a list, as JSON
	SHA256 string `json:"sha256"` // hex, of the same
}

// text cuts a text in its middle, and says there how much is missing.
func (c *cutter) text(member string, s *string) { c.within(member, s, keptHead, keptTail) }

type cutter struct{ cuts []Cut }

func (c *cutter) note(member string, whole []byte) {
	sum := sha256.Sum256(whole)
	c.cuts = append(c.cuts, Cut{member, len(whole), hex.EncodeToString(sum[:])})
}

func (c *cutter) within(member string, s *string, head, tail int) {
	whole := *s
	// A text that is little longer stays: the note of a cut takes some bytes too.
	if len(whole) <= head+tail+head/8 {
		return
	}
	c.note(member, []byte(whole))
	from := len(whole) - tail
	for head > 0 && !utf8.RuneStart(whole[head]) {
		head--
	}
	for from < len(whole) && !utf8.RuneStart(whole[from]) {
		from++
	}
	*s = fmt.Sprintf("%s\n[%d bytes of the record are cut here]\n%s", whole[:head], from-head, whole[from:])
}

// list keeps the first members, each of them cut.
func (c *cutter) list(member string, l *[]string) {
	size := 0
	for _, s := range *l {
		size += len(s)
	}
	if len(*l) <= keptList && size <= keptHead {
		return
	}
	whole, err := json.Marshal(*l)
	if err != nil { // strings alone: there is none
		whole = nil
	}
	c.note(member, whole)
	var kept []string
	room := keptHead
	for _, s := range *l {
		if len(kept) == keptList || len(s) > room {
			break
		}
		kept, room = append(kept, s), room-len(s)
	}
	*l = kept
}

func (c *cutter) job(j *Job) {
	c.text("job.project_id", &j.ProjectID)
	c.text("job.job_id", &j.JobID)
	c.text("job.location", &j.Location)
}

// Brief is the decision with every long text cut in its middle, and Cut says what each was: for
// what was refused, and so neither ran nor waits, whatever the client put into it. What ran or is
// held is kept whole (A54): nobody hides a statement behind a padding.
func (r Decision) Brief() Decision {
	var c cutter
	for _, t := range []struct {
		member string
		text   *string
	}{
		{"method", &r.Method}, {"rule", &r.Rule}, {"place", &r.Place}, {"message", &r.Message}, {"remedy", &r.Remedy}, {"reply", &r.Reply},
		{"sql", &r.SQL}, {"forwarded_sql", &r.ForwardedSQL}, {"credential", &r.Credential}, {"request_id", &r.RequestID},
		{"client", &r.Client}, {"principal", &r.Principal},
	} {
		c.text(t.member, t.text)
	}
	c.list("tables", &r.Tables)
	c.list("sensitive_columns", &r.Sensitive)
	c.list("masked_columns", &r.Masked)
	c.job(&r.Job)
	r.Cut = append(r.Cut[:len(r.Cut):len(r.Cut)], c.cuts...)
	return r
}

// Brief is the record with every long text cut, as Decision.Brief does it: for who asks for facts
// about tables. Before the text itself leaves for Google a record has it whole.
func (r Asked) Brief() Asked {
	var c cutter
	c.text("method", &r.Method)
	c.text("sql", &r.SQL)
	c.list("tables", &r.Tables)
	c.job(&r.Job)
	r.Cut = append(r.Cut[:len(r.Cut):len(r.Cut)], c.cuts...)
	return r
}

// bounded cuts what is long in records that are never needed whole.
func bounded(r Record) Record {
	o, ok := r.(Outcome)
	if !ok {
		return r
	}
	var c cutter
	c.within("reason", &o.Reason, keptReason, 0)
	return o
}
