// Package rawhttp sends requests byte for byte as a test wrote them down, which no HTTP library
// does: two headers of one name, odd paths, broken framing, trailers.
//
// A request is written as it goes over the wire, with directives above it that start with @:
//
//	@as stranger
//	POST /bigquery/v2/projects/{{project}}/queries?alt=json
//	X-HTTP-Method-Override: GET
//
//	{"query": "SELECT 1", "useLegacySql": false}
//
// Host, Authorization, Content-Type and Content-Length are added where the text has none. Text with
// no request line is SQL, and is sent by jobs.query.
package rawhttp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Request is one request as it was written down.
type Request struct {
	As       string   // persona whose token is sent, "" for the caller's choice
	Method   string   // "POST"
	Target   string   // "/bigquery/v2/projects/demo/queries"
	Header   []string // "Name: value", in order
	Body     []byte
	Trailers []string // sent after a chunked body

	noAuth, gzip, chunked, http10 bool
	pad                           int
}

var requestLine = regexp.MustCompile(`^([A-Za-z]+) (\S+)$`)

// Parse reads a request. vars replaces {{name}} in it; an unknown name is an error.
func Parse(text string, vars map[string]string) (Request, error) {
	for name, value := range vars {
		text = strings.ReplaceAll(text, "{{"+name+"}}", value)
	}
	if i := strings.Index(text, "{{"); i >= 0 {
		return Request{}, fmt.Errorf("unknown variable at %.40q", text[i:])
	}
	var r Request
	inHex := false
	for len(text) > 1 && text[0] == '@' && text[1] >= 'a' && text[1] <= 'z' {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		word, value, _ := strings.Cut(line, " ")
		switch word {
		case "@as":
			r.As = value
		case "@no-auth":
			r.noAuth = true
		case "@gzip":
			r.gzip = true
		case "@chunked":
			r.chunked = true
		case "@http/1.0":
			r.http10 = true
		case "@pad": // blanks behind the body, up to so many bytes
			if _, err := fmt.Sscan(value, &r.pad); err != nil {
				return Request{}, fmt.Errorf("%q: %w", line, err)
			}
		case "@hex": // the body is written in hex
			inHex = true
		case "@trailer":
			r.Trailers, r.chunked = append(r.Trailers, value), true
		default:
			return Request{}, fmt.Errorf("unknown directive %q", line)
		}
	}
	first, rest, _ := strings.Cut(text, "\n")
	m := requestLine.FindStringSubmatch(first)
	if m == nil || strings.HasPrefix(strings.ToUpper(first), "SELECT ") {
		return r, r.sql(text, vars["project"])
	}
	r.Method, r.Target = m[1], m[2]
	head, body, _ := strings.Cut("\n"+rest, "\n\n")
	for line := range strings.SplitSeq(head, "\n") {
		if line != "" {
			r.Header = append(r.Header, line)
		}
	}
	r.Body = []byte(strings.TrimSuffix(body, "\n"))
	if inHex {
		var err error
		if r.Body, err = hex.DecodeString(strings.Join(strings.Fields(body), "")); err != nil {
			return Request{}, err
		}
	}
	return r, nil
}

// sql makes a jobs.query of a text of SQL.
func (r *Request) sql(text, project string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("neither a request nor SQL")
	}
	body, err := json.Marshal(map[string]any{"query": strings.TrimSuffix(text, "\n"), "useLegacySql": false})
	r.Method, r.Target, r.Body = "POST", "/bigquery/v2/projects/"+project+"/queries", body
	return err
}

func (r Request) has(name string) bool {
	for _, h := range r.Header {
		if got, _, _ := strings.Cut(h, ":"); strings.EqualFold(got, name) {
			return true
		}
	}
	return false
}

// Bytes is the request as it goes over the wire.
func (r Request) Bytes(host, token string) []byte {
	var b bytes.Buffer
	version := "HTTP/1.1"
	if r.http10 {
		version = "HTTP/1.0"
	}
	fmt.Fprintf(&b, "%s %s %s\r\n", r.Method, r.Target, version)
	add := func(name, value string) {
		if !r.has(name) {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	add("Host", host)
	if !r.noAuth {
		add("Authorization", "Bearer "+token)
	}
	body := append([]byte{}, r.Body...)
	body = append(body, bytes.Repeat([]byte(" "), max(0, r.pad-len(body)))...)
	if r.gzip {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(body)
		w.Close()
		body = z.Bytes()
		add("Content-Encoding", "gzip")
	}
	if len(body) > 0 {
		add("Content-Type", "application/json")
	}
	switch {
	case r.chunked:
		add("Transfer-Encoding", "chunked")
		if len(r.Trailers) > 0 {
			var names []string
			for _, t := range r.Trailers {
				name, _, _ := strings.Cut(t, ":")
				names = append(names, name)
			}
			add("Trailer", strings.Join(names, ", "))
		}
	case len(body) > 0:
		add("Content-Length", fmt.Sprint(len(body)))
	}
	add("Connection", "close")
	for _, h := range r.Header {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	if !r.chunked {
		b.Write(body)
		return b.Bytes()
	}
	for len(body) > 0 {
		n := min(len(body), 16) // a chunk ends in the middle of everything
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n")
	for _, t := range r.Trailers {
		b.WriteString(t + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// Answer is what came back.
type Answer struct {
	Status int // 0 where the connection was closed without a response
	Header http.Header
	Body   []byte // whole, without framing and compression
	Raw    []byte // everything that was read
}

// Everything is all bytes of the answer, as they came and as a client reads them.
func (a Answer) Everything() []byte {
	return append(append(append([]byte{}, a.Raw...), '\n'), a.Body...)
}

// Message is "reason: message" of an error in BigQuery's form, "" for anything else.
func (a Answer) Message() string {
	var e struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(a.Body, &e) != nil || len(e.Error.Errors) == 0 {
		return ""
	}
	return e.Error.Errors[0].Reason + ": " + e.Error.Message
}

// Send sends bytes to an address and reads the answer until its end. A connection that is closed
// without an answer is no error.
func Send(address string, request []byte, wait time.Duration) (Answer, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return Answer{}, err
	}
	go conn.Write(request) // a server that refuses early stops reading, which is no failure of ours
	raw, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return Answer{Raw: raw}, fmt.Errorf("no end of the answer within %s: %w", wait, err)
	}
	return read(raw, request), nil
}

// read takes an answer apart as far as it can be.
func read(raw, request []byte) Answer {
	a := Answer{Raw: raw}
	r := bufio.NewReader(bytes.NewReader(raw))
	method, _, _ := bytes.Cut(request, []byte(" "))
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: string(method)})
		if err != nil {
			return a
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		a.Status, a.Header = resp.StatusCode, resp.Header
		body, _ := io.ReadAll(resp.Body) // a body that breaks off is read as far as it came
		if resp.Header.Get("Content-Encoding") == "gzip" {
			if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
				body, _ = io.ReadAll(z)
			}
		}
		a.Body = body
		return a
	}
}
