package fakegoogle

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// strike answers a request that meets a fault.
func (s *Server) strike(w http.ResponseWriter, c *call, f *Fault) {
	form, err := parseForm(f.Name)
	if err != nil {
		panic(err) // Arm has parsed it
	}
	var answer *buffered
	if form.done {
		answer = s.rehearse(c)
	}
	switch form.kind {
	case "json", "json-empty", "html", "html-empty":
		f.refuse(w, form)
	case "empty":
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	case "drop":
		panic(http.ErrAbortHandler)
	case "half":
		answer.send(w, answer.body.Bytes()[:answer.body.Len()/2], answer.body.Len())
		breakOff(w)
	case "slow":
		pause(c, f.delay())
		answer.send(w, answer.body.Bytes(), answer.body.Len())
	case "trickle":
		half := answer.body.Len() / 2
		answer.send(w, answer.body.Bytes()[:half], answer.body.Len())
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(http.ErrAbortHandler)
		}
		pause(c, f.delay())
		w.Write(answer.body.Bytes()[half:])
	case "repeated":
		answer.send(w, bytes.Repeat(answer.body.Bytes(), 2), 2*answer.body.Len())
	case "replayed":
		answer = s.rehearse(c)
		answer.send(w, answer.body.Bytes(), answer.body.Len())
	}
}

// rehearse carries a request out and keeps the answer.
func (s *Server) rehearse(c *call) *buffered {
	again := *c
	again.query = maps.Clone(c.query) // a handler may change it
	b := &buffered{header: http.Header{}, status: http.StatusOK}
	s.respond(b, &again)
	return b
}

// breakOff ends the connection after what was written has left.
func breakOff(w http.ResponseWriter) {
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func pause(c *call, d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// buffered is an answer that has not been sent.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header         { return b.header }
func (b *buffered) WriteHeader(status int)      { b.status = status }
func (b *buffered) Write(p []byte) (int, error) { return b.body.Write(p) }

// FlushError makes a page that stalls or dies in the middle work here too.
func (b *buffered) FlushError() error { return nil }

// send writes the head of the answer, which promises length bytes, and these of its body.
func (b *buffered) send(w http.ResponseWriter, body []byte, length int) {
	for name, values := range b.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(b.status)
	w.Write(body)
}

// refuse writes an error in the fault's form. The page is in the style of those that Google's front
// end serves in place of BigQuery's JSON, as seen in googleapis/google-cloud-go#868 (502),
// googleapis/google-cloud-python#4864 (413) and googleapis/google-cloud-node#1503 (400).
func (f *Fault) refuse(w http.ResponseWriter, form form) {
	h := w.Header()
	switch form.kind {
	case "json":
		e := frontEndError(form.status)
		if f.Reason != "" {
			e.Reason = f.Reason
		}
		if f.Message != "" {
			e.Message = f.Message
		}
		e.write(w)
		return
	case "json-empty":
		h.Set("Content-Type", "application/json; charset=UTF-8")
		h.Set("Content-Length", "0")
		w.WriteHeader(form.status)
		return
	}
	h.Set("Content-Type", "text/html; charset=UTF-8")
	h.Set("Referrer-Policy", "no-referrer")
	if form.kind == "html-empty" {
		h.Set("Content-Length", "0")
		w.WriteHeader(form.status)
		return
	}
	w.WriteHeader(form.status)
	side, words := "Client", "Your client has issued a malformed or illegal request."
	if form.status >= 500 {
		side, words = "Server", "The server encountered a temporary error and could not complete your request."
	}
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error %d (%s Error)!!1</title>\n"+
		"  <p><b>%d.</b> <ins>That’s an error.</ins>\n  <p>%s <ins>That’s all we know.</ins>\n", form.status, side, form.status, words)
}

// frontEndError is an error of a status with the words that Google has for it.
// https://cloud.google.com/bigquery/docs/error-messages
func frontEndError(status int) *apiError {
	reason, message := "invalid", "Request contains an invalid argument."
	switch status {
	case http.StatusForbidden:
		reason, message = "accessDenied", "Access Denied: the caller does not have permission."
	case http.StatusNotFound:
		reason, message = "notFound", "Not found: Requested entity was not found."
	case http.StatusConflict:
		reason, message = "duplicate", "Already Exists"
	case http.StatusRequestEntityTooLarge:
		reason, message = "requestTooLarge", "The request is too large."
	case http.StatusTooManyRequests:
		reason, message = "rateLimitExceeded", "Exceeded rate limits: too many api requests per user per method for this user_method."
	case http.StatusInternalServerError:
		reason, message = "internalError", "An internal error occurred and the request could not be completed."
	case http.StatusBadGateway:
		reason, message = "badGateway", "Bad Gateway"
	case http.StatusServiceUnavailable:
		reason, message = "backendError", "Error encountered during execution. Retrying may solve the problem."
	case http.StatusGatewayTimeout:
		reason, message = "backendError", "Deadline expired before operation could complete."
	}
	return &apiError{Code: status, Reason: reason, Message: message}
}
