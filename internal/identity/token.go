package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxTokenSize bounds a bearer token in bytes. Tokens of CI systems have 1 to 3 KiB; Envoy's own
// header limit is 60 KiB.
const maxTokenSize = 16 << 10

// headerNames are the JOSE header parameters that a token may have (RFC 7515 section 4.1). Absent
// are those that bring their own key (jwk, jku, x5u, x5c) and those that change how the token is
// read (crit, b64, zip, enc).
var headerNames = []string{"alg", "kid", "typ", "x5t", "x5t#S256"}

// typNames are the accepted values of `typ`, lower case: an ID token or a JWT access token (RFC
// 9068). A logout token or a DPoP proof is neither.
var typNames = []string{"", "jwt", "at+jwt", "application/at+jwt"}

// token is a JWS in compact serialization, read strictly but not verified yet.
type token struct {
	alg     string
	kid     string
	payload []byte
	claims  map[string]any // numbers as json.Number
}

// decode reads a token. It refuses what two readers could understand differently: duplicate
// members, other serializations, lax base64, other JSON.
func decode(raw string) (*token, *Error) {
	malformed := func(what string) *Error {
		return refuse(CodeMalformed, nil, "the bearer token is %s; send the OIDC token as your identity provider issued it", what)
	}
	if len(raw) > maxTokenSize {
		return nil, malformed(fmt.Sprintf("longer than %d bytes", maxTokenSize))
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, malformed("not a signed JWT")
	}
	var decoded [3][]byte
	for i, part := range parts {
		// Go's decoder skips CR and LF, which no token holds.
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, malformed("not a signed JWT")
		}
		decoded[i] = b
	}
	header, err := object(decoded[0])
	if err != nil {
		return nil, malformed("not a signed JWT: its header is not one plain JSON object")
	}
	claims, err := object(decoded[1])
	if err != nil {
		return nil, malformed("not a signed JWT: its claims are not one plain JSON object")
	}
	for name := range header {
		if !slices.Contains(headerNames, name) {
			return nil, malformed("of a kind that is not accepted: header parameter " + quote(name))
		}
	}
	t := &token{payload: decoded[1], claims: claims}
	var typ string
	for name, target := range map[string]*string{"alg": &t.alg, "kid": &t.kid, "typ": &typ} {
		value, present := header[name]
		text, isText := value.(string)
		if present && !isText {
			return nil, malformed("malformed: header parameter " + name + " is not a string")
		}
		*target = text
	}
	if !slices.Contains(typNames, strings.ToLower(typ)) {
		return nil, malformed("of type " + quote(typ) + ", not an ID or access token")
	}
	if len(decoded[2]) == 0 || strings.EqualFold(t.alg, "none") {
		return nil, refuse(CodeAlgorithm, nil,
			`the bearer token is not signed (alg "none"); send the OIDC token as your identity provider signed it`)
	}
	// encoding/json, which go-oidc reads with, takes "EXP" for "exp".
	for name := range claims {
		if lower := strings.ToLower(name); lower != name && slices.Contains(registered, lower) {
			return nil, malformed("malformed: claim " + quote(name) + " is misspelt " + lower)
		}
	}
	return t, nil
}

// registered are the claims of RFC 7519 section 4.1 and OpenID Connect that go-oidc reads.
var registered = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "at_hash", "_claim_names", "_claim_sources"}

// object reads one JSON object with unique names and valid UTF-8.
func object(text []byte) (map[string]any, error) {
	if !jsontext.Value(text).IsValid() { // strict on duplicates and UTF-8, unlike encoding/json
		return nil, fmt.Errorf("not valid JSON with unique names")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, fmt.Errorf("null is not an object")
	}
	return members, nil
}

// text returns a claim that must be a string, "" if it is absent or something else.
func (t *token) text(name string) string {
	s, _ := t.claims[name].(string)
	return s
}

// audience returns `aud`, one string or a list of them (RFC 7519 section 4.1.3); nil if it is
// absent or malformed.
func (t *token) audience() []string {
	return texts(t.claims["aud"])
}

// date returns a NumericDate claim (RFC 7519 section 2).
func (t *token) date(name string) (time.Time, bool) {
	number, ok := t.claims[name].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	// Year 2970 bounds what the arithmetic of time.Time has to stand.
	if err != nil || seconds < 1 || seconds > 1000*365.25*24*3600 {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// texts reads a string or a list of strings; nil for anything else.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		list := make([]string, 0, len(v))
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil
			}
			list = append(list, s)
		}
		return list
	default:
		return nil
	}
}

// plain turns the numbers of decoded claims into float64, as CEL and encoding/json know them.
// Integers beyond 2^53 stay text: as float64, two neighbouring ids would be one.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		if i, err := strconv.ParseInt(v.String(), 10, 64); math.Abs(f) > 1<<53 || (err == nil && int64(f) != i) {
			return v.String()
		}
		return f
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plain(item)
		}
		return list
	case map[string]any:
		members := make(map[string]any, len(v))
		for name, item := range v {
			members[name] = plain(item)
		}
		return members
	default:
		return v
	}
}
