package fakegoogle

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
)

// control serves tests in other processes, on plain loopback HTTP:
//
//	GET    /_fake/requests            the recorded requests; ?service= and &contains= filter
//	DELETE /_fake/requests            forget them
//	POST   /_fake/seed                run the SQL of the body (see Server.Seed)
//	POST   /_fake/faults              arm a Fault (see there); the answer is {"id": n}
//	GET    /_fake/faults              the armed faults, with how many requests each saw and struck
//	DELETE /_fake/faults              disarm them all, or ?id=n
//	POST   /_fake/outage              {"service": "sts", "mode": "frozen"}: see Server.Break
//	GET    /_fake/jobs                every job that was ever started, see JobRecord
//	POST   /_fake/options             an object of the switches in its code; absent ones stay
//	POST   /_fake/plant               a PlantedJob as JSON (see Server.PlantJob)
//	POST   /_fake/token               {"account": e-mail, "ttl_seconds": n}: a token unchecked
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
	mux.HandleFunc("POST /_fake/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		err := strictJSON(r.Body, &f)
		id := 0
		if err == nil {
			id, err = s.Arm(f)
		}
		if err != nil {
			controlDone(w, err)
			return
		}
		controlJSON(w, http.StatusOK, map[string]any{"id": id})
	})
	mux.HandleFunc("GET /_fake/faults", func(w http.ResponseWriter, _ *http.Request) {
		controlJSON(w, http.StatusOK, map[string]any{"faults": s.Faults()})
	})
	mux.HandleFunc("DELETE /_fake/faults", func(w http.ResponseWriter, r *http.Request) {
		id := 0
		var err error
		if text := r.URL.Query().Get("id"); text != "" {
			id, err = strconv.Atoi(text)
		}
		if err == nil {
			s.Disarm(id)
		}
		controlDone(w, err)
	})
	mux.HandleFunc("POST /_fake/outage", func(w http.ResponseWriter, r *http.Request) {
		var o struct {
			Service string      `json:"service"`
			Mode    outage.Mode `json:"mode"`
		}
		err := strictJSON(r.Body, &o)
		if err == nil {
			err = s.Break(o.Service, o.Mode)
		}
		controlDone(w, err)
	})
	mux.HandleFunc("GET /_fake/jobs", func(w http.ResponseWriter, _ *http.Request) {
		controlJSON(w, http.StatusOK, map[string]any{"jobs": s.Jobs()})
	})
	mux.HandleFunc("POST /_fake/options", func(w http.ResponseWriter, r *http.Request) {
		var o switches
		err := strictJSON(r.Body, &o)
		if err == nil {
			o.set(s)
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

// switches are what POST /_fake/options takes.
type switches struct {
	Noise             *bool   `json:"noise"`
	ForceGzip         *bool   `json:"force_gzip"`
	JobDelayMs        *int64  `json:"job_delay_ms"`
	WithholdRowAccess *bool   `json:"withhold_row_access"`
	RequestIDWindowMs *int64  `json:"request_id_window_ms"`
	RequestIDsIgnored *bool   `json:"request_ids_ignored"`
	Location          *string `json:"location"`
	CacheAlways       *bool   `json:"cache_always"`
	PageTokens        *string `json:"page_tokens"`
}

func (o switches) set(s *Server) {
	if o.Noise != nil {
		s.SetNoise(*o.Noise)
	}
	if o.ForceGzip != nil {
		s.SetForceGzip(*o.ForceGzip)
	}
	if o.WithholdRowAccess != nil {
		s.WithholdRowAccess(*o.WithholdRowAccess)
	}
	if o.JobDelayMs != nil {
		s.SetJobDelay(time.Duration(*o.JobDelayMs) * time.Millisecond)
	}
	if o.Location != nil {
		s.SetLocation(*o.Location)
	}
	if o.PageTokens != nil {
		s.SetPageTokens(*o.PageTokens)
	}
	if o.CacheAlways != nil {
		s.SetCacheAlways(*o.CacheAlways)
	}
	if o.RequestIDsIgnored != nil {
		s.SetRequestIDsIgnored(*o.RequestIDsIgnored)
	}
	if o.RequestIDWindowMs != nil {
		s.SetRequestIDWindow(time.Duration(*o.RequestIDWindowMs) * time.Millisecond)
	}
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
