package rawhttp

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"sql": {"SELECT\n1\n", "POST /bigquery/v2/projects/demo/queries HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " +
			"t\r\nContent-Type: application/json\r\nContent-Length: 42\r\nConnection: " +
			"close\r\n\r\n{\"query\":\"SELECT\\n1\",\"useLegacySql\":false}"},
		"request": {"@no-auth\nGET /a/{{project}}\nX: 1\nX: 2\n",
			"GET /a/demo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: 1\r\nX: 2\r\n\r\n"},
		"trailer": {"@trailer X-A: b\nPOST /\nAuthorization: none\n\n{}\n",
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\nConnection: " +
				"close\r\nAuthorization: none\r\n\r\n2\r\n{}\r\n0\r\nX-A: b\r\n\r\n"},
		"hex": {"@hex\nPOST /\nAuthorization: x\nContent-Type: y\n\n7b 7d\n",
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\nAuthorization: x\r\nContent-Type: y\r\n\r\n{}"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Parse(c.text, map[string]string{"project": "demo"})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if got := string(r.Bytes("h", "t")); got != c.want {
				t.Errorf("%s:\n%q, want\n%q", name, got, c.want)
			}
		})
	}
	for _, bad := range []string{"", "@what\nGET /\n", "GET /{{nobody}}\n", "@hex\nPOST /\n\nzz\n"} {
		t.Run(bad, func(t *testing.T) {
			if _, err := Parse(bad, nil); err == nil {
				t.Errorf("%q was read", bad)
			}
		})
	}
}

// What a server sends in pieces, compressed or broken off is read as far as it came.
func TestSend(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := []string{
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX-Trailer: " +
			"secret\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
		"",
	}
	go func() {
		for _, text := range answers {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				t.Error(err)
			}
			conn.Write([]byte(text))
			conn.Close()
		}
	}()
	for i, want := range []Answer{{Status: 200, Body: []byte("abc")}, {Status: 200, Body: []byte("abc")}, {}} {
		t.Run(fmt.Sprint(want), func(t *testing.T) {
			a, err := Send(l.Addr().String(), []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 5*time.Second)
			if err != nil || a.Status != want.Status || string(a.Body) != string(want.Body) {
				t.Errorf("answer %d: %d %q, %v", i, a.Status, a.Body, err)
			}
			if i == 0 && !strings.Contains(string(a.Everything()), "secret") {
				t.Error("the trailer was not kept")
			}
		})
	}
}
