package credentials

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
)

const redacted = "REDACTED"

// Token is a short-lived access token of one service account. It says REDACTED wherever it is
// printed, logged or encoded; only Bearer gives it out. The zero Token is empty and over.
type Token struct {
	Account string // name in the configuration
	Expiry  time.Time

	// A function, since fmt and reflection show the fields of a struct that holds a Token in an
	// unexported field, but not what a function returns.
	secret func() string
}

func newToken(account, secret string, expiry time.Time) Token {
	return Token{Account: account, Expiry: expiry, secret: func() string { return secret }}
}

// Bearer is the token itself, to be put after "Bearer " in the Authorization header of a request to
// BigQuery and nowhere else. It is "" for the zero Token.
func (t Token) Bearer() string {
	if t.secret == nil {
		return ""
	}
	return t.secret()
}

// String is REDACTED.
func (t Token) String() string { return redacted }

// GoString is REDACTED.
func (t Token) GoString() string { return redacted }

// Format writes REDACTED for every verb, those included that skip String.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is REDACTED.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON is "REDACTED".
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalText is REDACTED, for YAML and XML.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }
