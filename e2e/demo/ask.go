//go:build demo

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// Persona acts as one of the demo's personas.
type Persona struct {
	info  info
	token string
	out   io.Writer
}

// Open reads demo.json. console says which of the persona's two tokens is shown.
func Open(path, name string, console bool, out io.Writer) (*Persona, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("is the demo running? %w", err)
	}
	p := &Persona{out: out}
	if err := json.Unmarshal(text, &p.info); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	who, ok := p.info.Personas[name]
	if !ok {
		return nil, fmt.Errorf("there is no persona %q; there are agent, analyst, reviewer, lead and stranger", name)
	}
	file := who.TokenFile
	if console {
		file = who.ConsoleTokenFile
	}
	token, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p.token = strings.TrimSpace(string(token))
	return p, nil
}

func (p *Persona) call(ctx context.Context, method, url string, body, into any) error {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return err
	}
	req.Header.Set("authorization", "Bearer "+p.token)
	if body != nil {
		req.Header.Set("content-type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if json.Unmarshal(text, &e) != nil || e.Error.Message == "" {
			return fmt.Errorf("%d %s", resp.StatusCode, text)
		}
		return fmt.Errorf("%d %s", resp.StatusCode, e.Error.Message)
	}
	return json.Unmarshal(text, into)
}

type answer struct {
	JobReference struct {
		JobID    string `json:"jobId"`
		Location string `json:"location"`
	} `json:"jobReference"`
	JobComplete bool `json:"jobComplete"`
	Schema      struct {
		Fields []struct {
			Name string `json:"name"`
		} `json:"fields"`
	} `json:"schema"`
	Rows []struct {
		F []struct {
			V json.RawMessage `json:"v"`
		} `json:"f"`
	} `json:"rows"`
}

// Ask runs a query as a BigQuery client does, waits for it and prints the rows.
func (p *Persona) Ask(ctx context.Context, sql string) error {
	var a answer
	base := p.info.REST + "/bigquery/v2/projects/" + p.info.Project + "/queries"
	if err := p.call(ctx, http.MethodPost, base, map[string]any{"query": sql, "useLegacySql": false}, &a); err != nil {
		return err
	}
	said := false
	for !a.JobComplete {
		if !said {
			fmt.Fprintf(p.out, "job %s is pending: it waits for a person's approval\n", a.JobReference.JobID)
			said = true
		}
		next := answer{JobReference: a.JobReference}
		if err := p.call(ctx, http.MethodGet, base+"/"+a.JobReference.JobID+"?location="+a.JobReference.Location, nil, &next); err != nil {
			return err
		}
		a = next
	}
	w := tabwriter.NewWriter(p.out, 2, 8, 2, ' ', 0)
	for _, f := range a.Schema.Fields {
		fmt.Fprintf(w, "%s\t", f.Name)
	}
	fmt.Fprintln(w)
	for _, r := range a.Rows {
		for _, f := range r.F {
			fmt.Fprintf(w, "%s\t", cell(f.V))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func cell(v json.RawMessage) string {
	var s string
	switch {
	case string(v) == "null":
		return "NULL"
	case json.Unmarshal(v, &s) == nil:
		return s
	default:
		return string(v)
	}
}

type pending struct {
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	SQL     string    `json:"sql"`
	Why     string    `json:"why"`
	Expires time.Time `json:"expires"`
}

func (p *Persona) waiting(ctx context.Context) ([]pending, error) {
	var list struct {
		Requests []pending `json:"requests"`
	}
	err := p.call(ctx, http.MethodGet, p.info.Console+"/api/v1/requests?state=pending", nil, &list)
	return list.Requests, err
}

// Requests lists what waits for a decision.
func (p *Persona) Requests(ctx context.Context) error {
	list, err := p.waiting(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Fprintln(p.out, "nothing waits")
		return nil
	}
	for _, r := range list {
		fmt.Fprintf(p.out, "%s  %s  (expires in %s)\n  %s\n  %s\n", r.ID, r.Subject, time.Until(r.Expires).Round(time.Second), r.Why,
			strings.ReplaceAll(r.SQL, "\n", "\n  "))
	}
	return nil
}

// Vote approves or denies a request, or the only one that waits.
func (p *Persona) Vote(ctx context.Context, id, choice, reason string) error {
	if id == "" {
		list, err := p.waiting(ctx)
		if err != nil {
			return err
		}
		switch len(list) {
		case 0:
			return errors.New("nothing waits")
		case 1:
			id = list[0].ID
		default:
			return fmt.Errorf("%d requests wait; name one of them (bqgate requests lists them)", len(list))
		}
	}
	var r struct {
		ID    string `json:"id"`
		State string `json:"state"`
	}
	if err := p.call(ctx, http.MethodPost, p.info.Console+"/api/v1/requests/"+id+"/"+choice, map[string]string{"reason": reason},
		&r); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "request %s is %s\n", r.ID, r.State)
	return nil
}
