package fakegoogle

import (
	"io"
	"net/http"
	"testing"
)

// BenchmarkLargeDownload is the ceiling that the stand-in puts on what `make bench` measures
// through Envoy.
func BenchmarkLargeDownload(b *testing.B) {
	s := start(b)
	c := as(b, s, reader)
	id := at(b, c.query("SELECT id, name, email, ssn FROM crm.customers -- fake:rows=500000", map[string]any{"maxResults": 0}).tree(b),
		"jobReference", "jobId").(string)
	for _, proto := range []string{"h2", "http1"} {
		b.Run(proto, func(b *testing.B) {
			h := client(b, s)
			if proto == "http1" {
				tr := h.Transport.(*http.Transport)
				tr.Protocols = new(http.Protocols)
				tr.Protocols.SetHTTP1(true)
				tr.ReadBufferSize = 256 << 10
			}
			for b.Loop() {
				req, err := http.NewRequest("GET", s.BigQueryURL()+base+"/queries/"+id+"?prettyPrint=false", nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+c.token)
				resp, err := h.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
	b.Run("render", func(b *testing.B) {
		res, _, _ := s.jobs[jobKey("demo", id)].outcome()
		for b.Loop() {
			cw := &countWriter{}
			if err := res.window(0, nil, "INT64").writeTo(cw, 0, false); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(cw.n)
		}
	})
}

type countWriter struct{ n int64 }

func (w *countWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}
