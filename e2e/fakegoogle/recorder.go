package fakegoogle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Request is one request as it arrived, before anything was decided about it.
type Request struct {
	Time    time.Time   `json:"time"`
	Service string      `json:"service"` // "bigquery", "sts" or "iam"
	Proto   string      `json:"proto"`   // "HTTP/1.1" or "HTTP/2.0"
	Method  string      `json:"method"`
	Host    string      `json:"host"`
	Path    string      `json:"path"` // as sent, escapes included
	Query   string      `json:"query"`
	Header  http.Header `json:"header"`
	Trailer http.Header `json:"trailer,omitempty"`
	Body    string      `json:"body"`
	// Account is the e-mail of the service account (or the subject) whose token the request
	// carried; empty if none was valid.
	Account string `json:"account"`
	Status  int    `json:"status"`          // of the answer; 0 while it is being made
	Fault   string `json:"fault,omitempty"` // the name of the fault that it met, see Fault
}

type recorder struct {
	mu       sync.Mutex
	requests []*Request
}

// Requests returns what has arrived since the start or the last ResetRequests, in order of arrival.
func (s *Server) Requests() []Request {
	s.rec.mu.Lock()
	defer s.rec.mu.Unlock()
	out := make([]Request, len(s.rec.requests))
	for i, r := range s.rec.requests {
		out[i] = *r
	}
	return out
}

// ResetRequests forgets what has arrived.
func (s *Server) ResetRequests() {
	s.rec.mu.Lock()
	defer s.rec.mu.Unlock()
	s.rec.requests = nil
}

// maxBody bounds what is read of a request; a gateway of ours never sends more.
const maxBody = 64 << 20

type recordKey struct{}

// wrap records each request, body included, before h sees it.
func (rec *recorder) wrap(service string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := &Request{
			Time: time.Now(), Service: service, Proto: r.Proto, Method: r.Method, Host: r.Host,
			Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header.Clone(),
		}
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
			if err != nil {
				entry.Body = fmt.Sprintf("(the body broke off: %v)", err)
			} else {
				entry.Body = string(body)
			}
			entry.Trailer = r.Trailer.Clone()
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		rec.mu.Lock()
		rec.requests = append(rec.requests, entry)
		rec.mu.Unlock()
		sw := &statusWriter{ResponseWriter: w}
		defer func() {
			rec.mu.Lock()
			entry.Status = sw.status
			rec.mu.Unlock()
		}()
		h.ServeHTTP(sw, r.WithContext(context.WithValue(r.Context(), recordKey{}, entry)))
	})
}

// setAccount notes whose token a request carried.
func (rec *recorder) setAccount(ctx context.Context, account string) {
	if entry, ok := ctx.Value(recordKey{}).(*Request); ok {
		rec.mu.Lock()
		entry.Account = account
		rec.mu.Unlock()
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Flush and Unwrap keep streaming and gRPC working behind the recorder.
func (w *statusWriter) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
