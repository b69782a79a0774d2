package fakegoogle

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
)

// wrapped honours alt=proto and alt=media, and callback=NAME, as Google's front end does: the
// answer is no JSON then, and who masks JSON alone would let it pass. The message is not one of
// Google's, but every value is in it.
func wrapped(w http.ResponseWriter, r *http.Request, out io.Writer, closer io.Closer) (io.Writer, io.Closer) {
	query := r.URL.Query()
	switch alt := query.Get("alt"); {
	case alt == "proto" || alt == "media":
		w.Header().Set("Content-Type", "application/x-protobuf")
		return inner(out, closer, func(body []byte) []byte {
			return append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(body))), body...)
		})
	case query.Get("callback") != "" && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/javascript; charset=UTF-8")
		return inner(out, closer, func(body []byte) []byte {
			return append(append([]byte("// API callback\n"+query.Get("callback")+"("), body...), ");"...)
		})
	}
	return out, closer
}

// whole gathers a body, and writes it with something around it when it is closed.
type whole struct {
	bytes.Buffer
	out    io.Writer
	closer io.Closer
	around func([]byte) []byte
}

func inner(out io.Writer, closer io.Closer, around func([]byte) []byte) (io.Writer, io.Closer) {
	b := &whole{out: out, closer: closer, around: around}
	return b, b
}

func (b *whole) Close() error {
	if _, err := b.out.Write(b.around(b.Bytes())); err != nil {
		return err
	}
	if b.closer != nil {
		return b.closer.Close()
	}
	return nil
}
