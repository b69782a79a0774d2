package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/bqgate/bqgate/internal/approvals"
)

// told is all that a message says of a request. There is no field for SQL, parameters, columns,
// claims or reasons (A22).
type told struct {
	Request        string    `json:"request"`
	State          string    `json:"state"`
	Subject        string    `json:"subject"`
	Tables         []string  `json:"tables"`
	EstimatedBytes *int64    `json:"estimated_bytes"`
	EstimatedCost  *float64  `json:"estimated_cost"`
	Currency       string    `json:"currency"`
	Created        time.Time `json:"created"`
	Expires        time.Time `json:"expires"`
	URL            string    `json:"url"`
}

func tell(r approvals.Request) told {
	return told{
		Request: r.ID, State: string(r.State), Subject: plain(r.Subject, 200), Tables: tables(r.Tables), EstimatedBytes: r.EstimatedBytes,
		EstimatedCost: r.EstimatedCost,
		Currency:      r.Currency, Created: r.Created, Expires: r.Expires, URL: r.URL,
	}
}

const maxTables = 10

func tables(names []string) []string {
	out := []string{}
	for i, name := range names {
		if i == maxTables {
			return append(out, fmt.Sprintf("and %d more", len(names)-i))
		}
		out = append(out, plain(name, 200))
	}
	return out
}

// plain keeps text of the requester's making from forging lines or hiding: one line, printable,
// cut.
func plain(text string, most int) string {
	var b strings.Builder
	n := 0
	for _, c := range text {
		if n == most {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(c) {
			c = '\uFFFD'
		}
		b.WriteRune(c)
		n++
	}
	return b.String()
}

// webhookBody is the payload as Standard Webhooks recommend it.
func webhookBody(m approvals.Message, r approvals.Request, now time.Time) ([]byte, error) {
	return json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      told      `json:"data"`
	}{"request." + string(m.Kind), now, tell(r)})
}

// sign is the signature of Standard Webhooks, version 1: HMAC-SHA-256 over id, timestamp and body.
func sign(secret []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// slackBody is a message for an incoming webhook:
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
func slackBody(m approvals.Message, r approvals.Request) ([]byte, error) {
	t := tell(r)
	var b strings.Builder
	switch m.Kind {
	case approvals.EventHeld:
		fmt.Fprintf(&b, "*A query waits for approval* until %s\n", t.Expires.UTC().Format("15:04 MST"))
	default:
		fmt.Fprintf(&b, "*A query was %s*\n", m.Kind)
	}
	fmt.Fprintf(&b, "%s\nreads %s", escape(t.Subject), escape(strings.Join(t.Tables, ", ")))
	if t.EstimatedBytes != nil {
		fmt.Fprintf(&b, ", about %s", size(*t.EstimatedBytes))
	}
	if t.EstimatedCost != nil {
		fmt.Fprintf(&b, " (%s %s)", strconv.FormatFloat(*t.EstimatedCost, 'f', 2, 64), t.Currency)
	}
	fmt.Fprintf(&b, "\n<%s|Open the request>", escape(t.URL))
	text := b.String()
	return json.Marshal(map[string]any{
		"text": text, "unfurl_links": false, "unfurl_media": false,
		"blocks": []any{map[string]any{"type": "section", "text": map[string]any{"type": "mrkdwn", "text": text, "verbatim": true}}},
	})
}

// escape keeps Slack from reading links, mentions and marks into text that is not ours.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "*", "∗", "_", "_\u200b", "~", "∼", "`", "'").Replace(text)
}

func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + units[i]
}
