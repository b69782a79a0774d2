package bigquery

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
)

// The Java client compresses the bodies of its requests, also empty ones, and has no switch for it.
// BigQuery never gets such a body: what is forwarded is written anew.

// Coding is the Content-Encoding of a request that Decode took: "" or "gzip".
func (r Request) Coding() string {
	coding, _ := coding(r.normal()["content-encoding"])
	return coding
}

// coding reads Content-Encoding: "" for a body as it is, or "gzip". ok is false for every other
// coding and for more than one.
func coding(values []string) (found string, ok bool) {
	if len(values) > 1 {
		return "", false
	}
	for _, v := range values {
		switch v = strings.ToLower(strings.TrimSpace(v)); v {
		case "identity":
		case "gzip":
			found = v
		default:
			return "", false
		}
	}
	return found, true
}

// unpack is the body as it is meant. Of gzip, one member with a right checksum and nothing behind
// it is read, of at most MaxBody bytes: whatever two readers could take differently is refused.
func unpack(m Method, encodings []string, body []byte) ([]byte, error) {
	switch c, ok := coding(encodings); {
	case !ok:
		return nil, &RequestError{Status: 415, Reason: "invalid", Method: m,
			Message: "the body has a Content-Encoding that is not read: send it as it is, or with gzip"}
	case c == "" || len(body) == 0:
		return body, nil
	}
	from := bytes.NewReader(body) // an io.ByteReader: nothing behind the member is consumed
	z, err := gzip.NewReader(from)
	if err != nil {
		return nil, malformed(m, "the body is not gzip, as its Content-Encoding says")
	}
	z.Multistream(false)
	out, err := io.ReadAll(io.LimitReader(z, MaxBody+1))
	switch {
	case len(out) > MaxBody:
		return nil, malformed(m, "the body is larger than %d bytes when it is unpacked", MaxBody)
	case err != nil:
		return nil, malformed(m, "the body is not whole gzip, as its Content-Encoding says")
	case from.Len() > 0:
		return nil, malformed(m, "something stands behind the gzip body")
	}
	return out, nil
}
