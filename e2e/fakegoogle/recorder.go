package fakegoogle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
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
	// Account is the e-mail of the service account (or the subject) whose token the request carried; empty if none was valid.
	Account string `json:"account"`
	Status  int    `json:"status"` // of the answer; 0 while it is being made
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

// control serves tests in other processes, on plain loopback HTTP:
//
//	GET    /_fake/requests            the recorded requests, JSON; ?service=bigquery&contains=text filter them
//	DELETE /_fake/requests            forget them
//	POST   /_fake/seed                run the SQL of the body (see Server.Seed)
//	POST   /_fake/options             {"noise": bool, "force_gzip": bool, "job_delay_ms": n, "withhold_row_access": bool}; absent keys stay
//	POST   /_fake/plant               a PlantedJob as JSON (see Server.PlantJob)
//	POST   /_fake/token               {"account": e-mail, "ttl_seconds": n}: an access token, minted past all checks
//	GET    /_fake/values?table=&column=   Server.Values
//	GET    /_fake/status              {"engine_pid": n, "version": n}
func (s *Server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_fake/requests", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		out := slices.DeleteFunc(s.Requests(), func(req Request) bool {
			if service := q.Get("service"); service != "" && req.Service != service {
				return true
			}
			text := q.Get("contains")
			return text != "" && !strings.Contains(req.Path+"\n"+req.Query+"\n"+req.Body, text)
		})
		controlJSON(w, http.StatusOK, map[string]any{"requests": out})
	})
	mux.HandleFunc("DELETE /_fake/requests", func(w http.ResponseWriter, _ *http.Request) {
		s.ResetRequests()
		controlJSON(w, http.StatusOK, map[string]any{})
	})
	mux.HandleFunc("POST /_fake/seed", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err == nil {
			err = s.Seed(r.Context(), string(text))
		}
		controlDone(w, err)
	})
	mux.HandleFunc("POST /_fake/options", func(w http.ResponseWriter, r *http.Request) {
		var o struct {
			Noise      *bool  `json:"noise"`
			ForceGzip  *bool  `json:"force_gzip"`
			JobDelayMs *int64 `json:"job_delay_ms"`
			Withhold   *bool  `json:"withhold_row_access"`
		}
		err := strictJSON(r.Body, &o)
		if err == nil {
			if o.Noise != nil {
				s.SetNoise(*o.Noise)
			}
			if o.ForceGzip != nil {
				s.SetForceGzip(*o.ForceGzip)
			}
			if o.Withhold != nil {
				s.WithholdRowAccess(*o.Withhold)
			}
			if o.JobDelayMs != nil {
				s.SetJobDelay(time.Duration(*o.JobDelayMs) * time.Millisecond)
			}
		}
		controlDone(w, err)
	})
	mux.HandleFunc("POST /_fake/plant", func(w http.ResponseWriter, r *http.Request) {
		var p PlantedJob
		err := strictJSON(r.Body, &p)
		if err == nil {
			err = s.PlantJob(r.Context(), p)
		}
		controlDone(w, err)
	})
	mux.HandleFunc("POST /_fake/token", func(w http.ResponseWriter, r *http.Request) {
		var p struct {
			Account    string `json:"account"`
			TTLSeconds int64  `json:"ttl_seconds"`
		}
		if err := strictJSON(r.Body, &p); err != nil {
			controlDone(w, err)
			return
		}
		controlJSON(w, http.StatusOK, map[string]string{"token": s.MintToken(p.Account, time.Duration(p.TTLSeconds)*time.Second)})
	})
	mux.HandleFunc("GET /_fake/values", func(w http.ResponseWriter, r *http.Request) {
		values, err := s.Values(r.Context(), r.URL.Query().Get("table"), r.URL.Query().Get("column"))
		if err != nil {
			controlDone(w, err)
			return
		}
		controlJSON(w, http.StatusOK, map[string]any{"values": values})
	})
	mux.HandleFunc("GET /_fake/status", func(w http.ResponseWriter, _ *http.Request) {
		controlJSON(w, http.StatusOK, map[string]any{"engine_pid": s.EnginePID(), "version": s.version.Load()})
	})
	return mux
}

func strictJSON(r io.Reader, v any) error {
	dec := json.NewDecoder(io.LimitReader(r, maxBody))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func controlDone(w http.ResponseWriter, err error) {
	if err != nil {
		controlJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	controlJSON(w, http.StatusOK, map[string]any{})
}

func controlJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}
