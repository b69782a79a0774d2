package fakegoogle

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

// frontEndHeaders are those that Google's front end puts on each answer of an API, errors too.
func frontEndHeaders(h http.Header) {
	h.Set("Server", "ESF")
	h["Vary"] = []string{"Origin", "X-Origin", "Referer"}
	h.Set("Alt-Svc", `h3=":443"; ma=2592000,h3-29=":443"; ma=2592000`)
	h.Set("Cache-Control", "private")
	h.Set("X-Xss-Protection", "0")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("X-Content-Type-Options", "nosniff")
}

// etag is an etag of a text in BigQuery's form: the base64 of 16 bytes, "VPTsIxpzkFPzKzXGEYKx+A==".
func etag(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:16])
}
