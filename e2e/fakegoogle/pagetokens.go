package fakegoogle

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"strconv"
	"strings"
)

// pageToken seals where the next page of something begins; opaque to clients and bound to what it
// was made for. BigQuery's tokens of rows are upper-case base32 and end in one to six `=`, as in
// "BEGXTEE3PMAQAAASA4EAAEEAQCAAKGQEBBSBAZBAWCXBK===", which a client must escape in a URL.
// https://cloud.google.com/bigquery/docs/paging-results
func (s *Server) pageToken(of string, next int64) string {
	text := strconv.FormatInt(next, 10)
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(of + "\x00" + text))
	raw := append(mac.Sum(nil)[:macBytes], text...)
	if len(raw)%5 == 0 { // base32 would need no padding
		raw = append(raw, ' ')
	}
	return s.strange() + base32.StdEncoding.EncodeToString(raw)
}

// SetPageTokens puts a text before every page token of rows: nothing says what tokens are made of.
func (s *Server) SetPageTokens(prefix string) { s.tokenPrefix.Store(&prefix) }

func (s *Server) strange() string {
	if p := s.tokenPrefix.Load(); p != nil {
		return *p
	}
	return ""
}

const macBytes = 12

func (s *Server) openPageToken(of, token string) (int64, *apiError) {
	text, strange := strings.CutPrefix(token, s.strange())
	raw, err := base32.StdEncoding.DecodeString(text)
	if err != nil || !strange || len(raw) <= macBytes {
		return 0, errInvalid("Invalid value for: pageToken")
	}
	next, err := strconv.ParseInt(strings.TrimSuffix(string(raw[macBytes:]), " "), 10, 64)
	if err != nil || s.pageToken(of, next) != token {
		return 0, errInvalid("Invalid value for: pageToken")
	}
	return next, nil
}

// listToken is a token of a listing: base64 with `+`, `/` and `=`, which are other characters in a
// URL too.
func (s *Server) listToken(of string, next int64) string {
	raw, err := base32.StdEncoding.DecodeString(strings.TrimPrefix(s.pageToken(of, next), s.strange()))
	if err != nil {
		panic(err) // it was encoded here
	}
	// The first bytes are written as "+/", whatever they stand for, and the length is one that
	// needs padding.
	for len(raw)%3 != 1 {
		raw = append(raw, ' ')
	}
	return "+/" + base64.StdEncoding.EncodeToString(raw)
}

func (s *Server) openListToken(of, token string) (int64, *apiError) {
	text, ours := strings.CutPrefix(token, "+/")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !ours || len(raw) <= macBytes {
		return 0, errInvalid("Invalid value for: pageToken")
	}
	next, err := strconv.ParseInt(strings.TrimRight(string(raw[macBytes:]), " "), 10, 64)
	if err != nil || s.listToken(of, next) != token {
		return 0, errInvalid("Invalid value for: pageToken")
	}
	return next, nil
}
