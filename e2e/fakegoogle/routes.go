package fakegoogle

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// call is one authenticated BigQuery request with its path taken apart.
type call struct {
	*http.Request
	method  string // after method overrides
	account string
	may     Permissions
	query   url.Values
	body    []byte
}

type handler func(*call) (object, *apiError)

// bigQuery serves the REST API.
func (s *Server) bigQuery() http.Handler {
	return s.rec.wrap("bigquery", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		account, apiErr := s.authenticate(r)
		if apiErr != nil {
			apiErr.write(w)
			return
		}
		c := &call{Request: r, method: r.Method, account: account, may: s.account(account), query: r.URL.Query()}
		if apiErr := c.read(); apiErr != nil {
			apiErr.write(w)
			return
		}
		h := s.route(c)
		if h == nil {
			errNotFound("Request had no matching method: " + c.method + " " + r.URL.Path).write(w)
			return
		}
		mask, err := parseFields(c.query.Get("fields"))
		if err != nil {
			errInvalid(err.Error()).write(w)
			return
		}
		answer, apiErr := h(c)
		if apiErr != nil {
			apiErr.write(w)
			return
		}
		s.write(w, r, answer, mask, c.query.Get("prettyPrint") != "false")
	}))
}

// read takes method overrides and the body, as Google's front end does.
func (c *call) read() *apiError {
	if c.method == http.MethodPost {
		for _, h := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
			if v := c.Header.Get(h); v != "" {
				c.method = strings.ToUpper(v)
			}
		}
		if v := c.query.Get("$httpMethod"); v != "" {
			c.method = strings.ToUpper(v)
		}
	}
	var from io.Reader = c.Body
	if strings.EqualFold(c.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(from)
		if err != nil {
			return errInvalid("the request body is not gzip")
		}
		from = io.LimitReader(z, maxBody)
	}
	body, err := io.ReadAll(from)
	if err != nil {
		return errInvalid("the request body could not be read")
	}
	c.body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	return nil
}

// route finds the method for a path. Unknown ones are nil.
func (s *Server) route(c *call) handler {
	path := c.URL.Path
	upload := false
	for _, prefix := range []string{"/resumable/upload", "/upload"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			path, upload = rest, true
			break
		}
	}
	rest, ok := strings.CutPrefix(path, "/bigquery/v2/")
	if !ok {
		return nil
	}
	seg := strings.Split(rest, "/")
	if upload {
		if len(seg) == 3 && seg[0] == "projects" && seg[2] == "jobs" && c.method == http.MethodPost {
			return s.uploadInsert(seg[1])
		}
		return nil
	}
	if seg[0] != "projects" {
		return nil
	}
	if len(seg) == 1 {
		return on(c, http.MethodGet, s.listProjects)
	}
	project := seg[1]
	switch {
	case len(seg) == 3 && seg[2] == "queries":
		return on(c, http.MethodPost, s.query(project))
	case len(seg) == 4 && seg[2] == "queries":
		return on(c, http.MethodGet, s.getQueryResults(project, seg[3]))
	case len(seg) == 3 && seg[2] == "jobs":
		if c.method == http.MethodGet {
			return s.listJobs(project)
		}
		return on(c, http.MethodPost, s.insert(project))
	case len(seg) == 4 && seg[2] == "jobs":
		return on(c, http.MethodGet, s.getJob(project, seg[3]))
	case len(seg) == 5 && seg[2] == "jobs" && seg[4] == "cancel":
		return on(c, http.MethodPost, s.cancel(project, seg[3]))
	case len(seg) == 5 && seg[2] == "jobs" && seg[4] == "delete":
		return on(c, http.MethodDelete, s.deleteJob(project, seg[3]))
	case len(seg) == 3 && seg[2] == "datasets":
		if c.method == http.MethodGet {
			return s.listDatasets(project)
		}
		return on(c, http.MethodPost, s.insertDataset(project))
	case len(seg) == 4 && seg[2] == "datasets":
		return on(c, http.MethodGet, s.getDataset(project, seg[3]))
	case len(seg) == 5 && seg[2] == "datasets" && seg[4] == "tables":
		return on(c, http.MethodGet, s.listTables(project, seg[3]))
	case len(seg) == 6 && seg[2] == "datasets" && seg[4] == "tables":
		if c.method == http.MethodDelete {
			return s.deleteTable(project, seg[3], seg[5])
		}
		return on(c, http.MethodGet, s.getTable(project, seg[3], seg[5]))
	case len(seg) == 6 && seg[2] == "datasets" && seg[4] == "routines":
		return on(c, http.MethodGet, s.getRoutine(project, seg[3], seg[5]))
	case len(seg) == 7 && seg[2] == "datasets" && seg[4] == "tables" && seg[6] == "data":
		return on(c, http.MethodGet, s.listTableData(project, seg[3], seg[5]))
	case len(seg) == 7 && seg[2] == "datasets" && seg[4] == "tables" && seg[6] == "rowAccessPolicies":
		return on(c, http.MethodGet, s.listRowAccessPolicies(project, seg[3], seg[5]))
	}
	return nil
}

func on(c *call, method string, h handler) handler {
	if c.method == method {
		return h
	}
	return nil
}

// write sends an answer: projected, compressed if asked, with noise if switched on; faults of the page's directives happen here.
func (s *Server) write(w http.ResponseWriter, r *http.Request, answer object, mask fieldMask, pretty bool) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=UTF-8")
	h.Set("Vary", "Origin, X-Origin, Referer")
	h.Set("Cache-Control", "private")
	h.Set("X-Content-Type-Options", "nosniff")
	rows, _ := answer.get("rows").(*page)
	if rows != nil {
		rows.ctx = r.Context()
		rows.flush = http.NewResponseController(w).Flush
	}
	noise := ""
	if s.noise.Load() {
		noise = s.noiseFor(rows)
		for _, name := range []string{"X-Debug-Row", "Server-Timing", "Warning", "X-Goog-Ext-124712974-Jspb"} {
			h.Set(name, noise)
		}
		h.Set("Trailer", "X-Debug-Trailer")
	}
	var out io.Writer = w
	var closer io.Closer
	if s.gzip.Load() || acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			errNotFound(err.Error()).write(w)
			return
		}
		out = z
		closer = z
		if rows != nil {
			flush := rows.flush
			rows.flush = func() error {
				if err := z.Flush(); err != nil {
					return err
				}
				return flush()
			}
		}
	}
	out, closer = wrapped(w, r, out, closer)
	w.WriteHeader(http.StatusOK)
	if err := writeValue(out, mask.project(answer), 0, pretty); err != nil {
		// The client went away, or `-- fake:die` asked for it. The gzip stream stays open, so that the body does not look whole.
		panic(http.ErrAbortHandler)
	}
	if pretty {
		io.WriteString(out, "\n")
	}
	if closer != nil {
		closer.Close()
	}
	if noise != "" {
		h.Set("X-Debug-Trailer", noise)
	}
}

func acceptsGzip(r *http.Request) bool {
	for _, v := range r.Header.Values("Accept-Encoding") {
		for e := range strings.SplitSeq(v, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(e), ";")
			if strings.EqualFold(name, "gzip") {
				return true
			}
		}
	}
	return false
}

// noiseFor gathers texts out of the rows of an answer, so that a leak by header or trailer would show a real value.
func (s *Server) noiseFor(rows *page) string {
	if rows == nil {
		return textsOf(nil)
	}
	return textsOf(rows.res.rows)
}

// textsOf quotes the texts of the first row.
func textsOf(rows [][]any) string {
	text := "noise"
	if len(rows) == 0 {
		return text
	}
	for _, cell := range rows[0] {
		if v, ok := cell.(string); ok && len(text) < 1000 {
			text += "; " + strconv.QuoteToASCII(v)
		}
	}
	return text
}
