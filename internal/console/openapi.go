package console

import (
	_ "embed"
	"net/http"
)

// The endpoint as a document for programs. openapi_test.go holds it against what the handler really
// answers.
//
//go:embed openapi.yaml
var openapiText []byte

func (a *api) openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	_, _ = w.Write(openapiText) // the caller has gone
}
