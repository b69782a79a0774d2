package soak

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/e2e/canaries"
)

// answer is what came of one request.
type answer struct {
	action     string
	subject    string // who asked
	begin, end time.Time
	status     int // 0 where nothing came
	header     http.Header
	body       []byte
	err        error // of the connection
	left       bool  // the client went away by itself
	wrong      string
	// recorded says that the journal must have the body, where it is the gateway's to give.
	recorded bool
}

// event is an answer that nobody should get while all is well.
type event struct {
	action     string
	begin, end time.Time
	what       string
}

// notes are what is kept of all answers.
type notes struct {
	looked *canaries.Needles

	mu       sync.Mutex
	findings []string
	more     int // findings that were not kept
	events   []event
	counts   map[string]*count // by action
	acked    map[[sha256.Size]byte]int
	owed     map[[sha256.Size]byte]string // what an entry of acked is, for messages
	ids      map[string]string            // decisions that were named to somebody, and in what
	votes    map[string]bool              // requests whose approval was acknowledged
	answers  int64
	bytes    int64
	slowest  time.Duration
}

// count is how the requests of an action ended.
type count struct{ ok, refused, fault, broken, left int }

const (
	mostFindings = 50
	// hang is what no request may take, whatever is broken: it is beyond every timeout of Envoy's
	// and of the gateway's.
	hang = 65 * time.Second
)

// find notes what must not be.
func (n *notes) find(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.findings) == mostFindings {
		n.more++
		return
	}
	n.findings = append(n.findings, fmt.Sprintf(format, args...))
}

var (
	decisionID = regexp.MustCompile(`\bd-[0-9A-Za-z]{20,}\b`)
	requestID  = regexp.MustCompile(`\bRequest [0-9a-f]{8}-[0-9a-f-]{27}\b`)
)

// take notes an answer.
func (n *notes) take(a answer) {
	var header bytes.Buffer
	a.header.Write(&header)
	for _, found := range append(n.looked.In(a.body), n.looked.In(header.Bytes())...) {
		n.find("%s in an answer to %q of %s (status %d)", found, a.action, a.subject, a.status)
	}
	took := a.end.Sub(a.begin)
	if took > hang {
		n.find("%q took %s", a.action, took.Round(time.Millisecond))
	}
	if a.status >= 400 && a.err == nil && !json.Valid(a.body) {
		n.find("%q got status %d without an error in the form of the API: %.200q", a.action, a.status, a.body)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.counts == nil {
		n.counts, n.acked, n.owed = map[string]*count{}, map[[sha256.Size]byte]int{}, map[[sha256.Size]byte]string{}
		n.ids, n.votes = map[string]string{}, map[string]bool{}
	}
	c := n.counts[a.action]
	if c == nil {
		c = &count{}
		n.counts[a.action] = c
	}
	n.answers++
	n.bytes += int64(len(a.body))
	n.slowest = max(n.slowest, took)
	what := ""
	switch {
	case a.left:
		c.left++
	case a.err != nil:
		c.broken++
		what = "broken off: " + a.err.Error()
	case a.status >= 500:
		c.fault++
		what = fmt.Sprintf("%d %s", a.status, said(a.body))
	case a.status >= 400:
		c.refused++
	default:
		c.ok++
	}
	if what == "" && a.wrong != "" && !a.left {
		what = a.wrong
	}
	if what != "" {
		n.events = append(n.events, event{a.action, a.begin, a.end, what})
	}
	if a.left || a.err != nil {
		return
	}
	if id := decisionID.Find(a.body); id != nil && a.status >= 400 && a.status < 500 { // a fault may be that nothing could be recorded
		n.ids[string(id)] = fmt.Sprintf("%d to %q of %s", a.status, a.action, a.subject)
	}
	if a.recorded && a.status < 300 {
		key := ackKey(a.subject, a.body)
		n.acked[key]++
		n.owed[key] = fmt.Sprintf("%q of %s: %d bytes, %.120s", a.action, a.subject, len(a.body), a.body)
	}
}

// vote notes that an approval was acknowledged.
func (n *notes) vote(request string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.votes[request] = true
}

func ackKey(subject string, body []byte) [sha256.Size]byte {
	return ackKeyOf(subject, sha256.Sum256(body))
}

func ackKeyOf(subject string, body [sha256.Size]byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(subject+"\x00"), body[:]...))
}

// said is the message of an error, short.
func said(body []byte) string {
	var e struct {
		Error any `json:"error"`
	}
	text := string(body)
	if json.Unmarshal(body, &e) == nil {
		switch v := e.Error.(type) {
		case map[string]any:
			text = fmt.Sprint(v["message"])
		case string:
			text = v
		}
	}
	text = requestID.ReplaceAllString(decisionID.ReplaceAllString(text, "d-…"), "Request …")
	return strings.ReplaceAll(fmt.Sprintf("%.160s", text), "\n", " ")
}

// total is how many answers there were, and their bytes.
func (n *notes) total() (answers, bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.answers, n.bytes
}
