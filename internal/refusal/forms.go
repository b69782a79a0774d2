package refusal

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// BigQuery is the status and the body of BigQuery's error JSON
// (https://cloud.google.com/bigquery/docs/error-messages). decision is "" where there is none.
func (r *Refusal) BigQuery(decision string) (status int, body []byte) {
	return r.Code(), bigquery.ErrorBody(r.Code(), r.Word(), r.Text(decision))
}

// retryAfter is how long a client does well to wait after what passes in a time that nobody knows.
const retryAfter = 2 * time.Second

func (r *Refusal) headers(h http.Header) {
	if r.Challenge != "" {
		h.Set("WWW-Authenticate", r.Challenge)
	}
	if r.Allow != "" {
		h.Set("Allow", r.Allow)
	}
	if (r.Faulty() || r.Code() == http.StatusTooManyRequests) && !r.Lasting {
		wait := max(time.Second, cmp.Or(r.Wait, retryAfter))
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}

// Endpoint answers a caller of the approval endpoint: {"error": {"code", "message", "reason"}},
// where code is the HTTP status, as in Google's errors.
func (r *Refusal) Endpoint(w http.ResponseWriter) {
	type body struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
	}
	text, err := json.Marshal(map[string]body{"error": {r.Code(), r.What, r.Word()}})
	if err != nil { // cannot be: an int and two strings
		text = []byte(`{"error":{"code":503,"message":"error without words","reason":"unavailable"}}`)
	}
	r.headers(w.Header())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(r.Code())
	_, _ = w.Write(append(text, '\n')) // the caller has gone
}

// Bearer is the challenge of RFC 6750 section 3, with its error code; "" for none.
func Bearer(code string) string {
	challenge := `Bearer realm="bqgate"`
	if code != "" {
		challenge += `, error="` + code + `"`
	}
	return challenge
}

// Sentence writes words as a sentence of a page: a capital first, and a stop.
func Sentence(words string) string {
	if words == "" {
		return ""
	}
	if !strings.HasSuffix(words, ".") {
		words += "."
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// OAuth answers a client of the token endpoint (RFC 6749 section 5.2), where Reason is the error
// code. The error says that the answer could not be written.
func (r *Refusal) OAuth(w http.ResponseWriter) error {
	r.headers(w.Header())
	w.WriteHeader(r.Code())
	return json.NewEncoder(w).Encode(map[string]string{"error": r.Word(), "error_description": describable(r.What)})
}

// describable keeps to the characters that RFC 6749 section 5.2 allows in error_description.
func describable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < 0x20 || r > 0x7e:
			return '?'
		default:
			return r
		}
	}, s)
}

// GRPC is the status and the message of a gRPC answer: the values of grpc-status and grpc-message,
// the latter percent-encoded
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses).
func (r *Refusal) GRPC(decision string) (status, message string) {
	return fmt.Sprint(uint32(r.grpcCode())), percentEncoded(r.Text(decision))
}

// grpcCode is what Google's gRPC services answer where its REST answers the status.
func (r *Refusal) grpcCode() codes.Code {
	if r.Passes() {
		return codes.ResourceExhausted
	}
	switch r.Code() {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusConflict:
		if r.Reason == "duplicate" {
			return codes.AlreadyExists
		}
		return codes.Aborted
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusNotImplemented:
		return codes.Unimplemented
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	default:
		return codes.PermissionDenied
	}
}

// percentEncoded keeps the printable ASCII of a message but "%", and writes every other byte of its
// UTF-8 as "%" and two hex digits.
func percentEncoded(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
