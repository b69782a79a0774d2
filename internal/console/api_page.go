package console

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"

	"github.com/bqgate/bqgate/internal/approvals"
)

var (
	//go:embed page.html
	pageText string
	//go:embed style.css
	styleText []byte

	pageTemplate = template.Must(template.New("page").Parse(pageText))
)

// page says what the endpoint offers, and under /requests/{id}, where links to a request lead, how
// to see and decide that one. It shows nothing of any request, and not even whether it exists: it
// asks nobody who they are.
func (a *api) page(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if id != "" && !approvals.ValidID(id) {
		fail(w, http.StatusNotFound, "notFound", "this is not the id of a request; ids look like r-01J9ZM3K7Q8W2X4Y6Z0A1B2C3D")
		return
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, struct{ ID, Audience string }{id, a.Audience}); err != nil {
		a.fault(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes()) // the caller has gone
}

func (a *api) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleText) // the caller has gone
}
