package fakegoogle

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong between BigQuery and who asks it: one of the forms below, for
// some of the requests that arrive. Zero fields have the meaning that their comment gives.
//
// Name is one of
//
//	STATUS-json          an error of this HTTP status in Google's JSON
//	STATUS-json-empty    the same status, called JSON, without a body
//	STATUS-html          the page of Google's front end
//	STATUS-html-empty    the same status, called HTML, without a body
//	drop                 the connection ends without an answer
//	empty                200 without a body
//	done-…               each of the above, after the request was carried out: the answer is lost
//	half                 the answer breaks off in the middle, short of its Content-Length
//	slow                 the answer begins after Delay
//	trickle              the answer begins at once and its second half comes after Delay
//	repeated             the answer's body comes twice
//	replayed             the request arrives twice, as when a proxy tries again; the second
//	                     answer counts
type Fault struct {
	Name string `json:"name"`
	// Method is a method of the discovery document, as "jobs.get", or "dryRun" for a dry run by
	// jobs.query or jobs.insert, which those two names leave out. Empty: each request.
	Method string `json:"method,omitempty"`
	// Account is the e-mail whose token the request carries. Empty: any.
	Account string `json:"account,omitempty"`
	// Contains is a text in the path, the query or the body of the request. Empty: any.
	Contains string `json:"contains,omitempty"`
	// Nth is the first of the matching requests that is struck, from 1; 0 is the first too.
	Nth int `json:"nth,omitempty"`
	// Times is how many are struck, one where it is 0, all that follow where it is negative.
	Times int `json:"times,omitempty"`
	// DelayMs is Delay, 1000 where it is 0.
	DelayMs int `json:"delay_ms,omitempty"`
	// Reason and Message replace those of a JSON error.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`

	// ID names the fault in answers; Seen counts the requests that matched, Struck those that met
	// it.
	ID     int `json:"id,omitempty"`
	Seen   int `json:"seen"`
	Struck int `json:"struck"`
}

// FrontEndStatuses are the statuses with which Google's front end answers without BigQuery.
var FrontEndStatuses = []int{400, 403, 404, 413, 429, 500, 502, 503, 504}

// FaultNames are all names of faults, with each of FrontEndStatuses.
func FaultNames() []string {
	var plain []string
	for _, status := range FrontEndStatuses {
		for _, form := range []string{"json", "json-empty", "html", "html-empty"} {
			plain = append(plain, strconv.Itoa(status)+"-"+form)
		}
	}
	plain = append(plain, "drop", "empty")
	names := slices.Clone(plain)
	for _, name := range plain {
		names = append(names, "done-"+name)
	}
	return append(names, "half", "slow", "trickle", "repeated", "replayed")
}

// form is a name of a fault taken apart.
type form struct {
	done   bool   // the request is carried out first
	status int    // of an error, or 0
	kind   string // what follows: "json", "html-empty", "drop", "half" …
}

var errorForm = regexp.MustCompile(`^([45][0-9][0-9])-(json|json-empty|html|html-empty)$`)

func parseForm(name string) (form, error) {
	rest, done := strings.CutPrefix(name, "done-")
	if m := errorForm.FindStringSubmatch(rest); m != nil {
		status, err := strconv.Atoi(m[1])
		return form{done: done, status: status, kind: m[2]}, err
	}
	switch rest {
	case "drop", "empty":
		return form{done: done, kind: rest}, nil
	case "half", "slow", "trickle", "repeated", "replayed":
		if !done {
			return form{done: true, kind: rest}, nil
		}
	}
	return form{}, fmt.Errorf("no fault is called %q", name)
}

func (f Fault) delay() time.Duration {
	if f.DelayMs == 0 {
		return time.Second
	}
	return time.Duration(f.DelayMs) * time.Millisecond
}

// faults are those that are armed, in the order in which they were.
type faults struct {
	mu    sync.Mutex
	armed []*Fault
	last  int
}

// Arm makes a fault strike from now on, and returns its ID.
func (s *Server) Arm(f Fault) (int, error) {
	if _, err := parseForm(f.Name); err != nil {
		return 0, err
	}
	if f.Method != "" && f.Method != methodDryRun && !slices.Contains(methods, f.Method) {
		return 0, fmt.Errorf("no method is called %q", f.Method)
	}
	if f.Nth < 0 || f.DelayMs < 0 || f.Seen != 0 || f.Struck != 0 || f.ID != 0 {
		return 0, errors.New("nth and delay_ms are not negative, and id, seen and struck are counted here")
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.last++
	f.ID, f.Nth = s.faults.last, max(f.Nth, 1)
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults.armed = append(s.faults.armed, &f)
	return f.ID, nil
}

// Faults are the armed faults with what they have met; one that has struck all its times stays
// among them.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := make([]Fault, len(s.faults.armed))
	for i, f := range s.faults.armed {
		out[i] = *f
	}
	return out
}

// Disarm removes the fault with this ID, or all where it is 0.
func (s *Server) Disarm(id int) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.armed = slices.DeleteFunc(s.faults.armed, func(f *Fault) bool { return id == 0 || f.ID == id })
}

// due counts a request at every fault that it matches, and gives the first that strikes it, or nil.
func (a *faults) due(c *call) *Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	var struck *Fault
	for _, f := range a.armed {
		if f.Method != "" && f.Method != c.name || f.Account != "" && f.Account != c.account || !c.contains(f.Contains) {
			continue
		}
		f.Seen++
		if struck == nil && f.Seen >= f.Nth && (f.Times < 0 || f.Struck < f.Times) {
			f.Struck++
			one := *f
			struck = &one
		}
	}
	return struck
}

func (c *call) contains(text string) bool {
	return text == "" || strings.Contains(c.URL.EscapedPath()+"\n"+c.URL.RawQuery+"\n"+string(c.body), text)
}

// setFault notes what a request met.
func (rec *recorder) setFault(ctx context.Context, name string) {
	if entry, ok := ctx.Value(recordKey{}).(*Request); ok {
		rec.mu.Lock()
		entry.Fault = name
		rec.mu.Unlock()
	}
}
