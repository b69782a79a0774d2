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
	name    string // of the method in the discovery document, or methodDryRun
	account string
	may     Permissions
	query   url.Values
	body    []byte
	handle  handler // nil: no method has this path
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
		c.name, c.handle = s.route(c)
		if f := s.faults.due(c); f != nil {
			s.rec.setFault(r.Context(), f.Name)
			s.strike(w, c, f)
			return
		}
		s.respond(w, c)
	}))
}

// respond carries a request out and writes the answer.
func (s *Server) respond(w http.ResponseWriter, c *call) {
	if c.handle == nil {
		errNotFound("Request had no matching method: " + c.method + " " + c.URL.Path).write(w)
		return
	}
	mask, err := parseFields(c.query.Get("fields"))
	if err != nil {
		errInvalid(err.Error()).write(w)
		return
	}
	answer, apiErr := c.handle(c)
	if apiErr != nil {
		apiErr.write(w)
		return
	}
	s.write(w, c.Request, answer, mask, c.query.Get("prettyPrint") != "false")
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

// write sends an answer: projected, compressed if asked, with noise if switched on; faults of the
// page's directives happen here.
func (s *Server) write(w http.ResponseWriter, r *http.Request, answer object, mask fieldMask, pretty bool) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=UTF-8")
	frontEndHeaders(h)
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
		// The client went away, or `-- fake:die` asked for it. The gzip stream stays open, so that
		// the body does not look whole.
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

// noiseFor gathers texts out of the rows of an answer, so that a leak by header or trailer would
// show a real value.
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
