package envoy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/metadata"
)

// TestStalledReaders has many answers that nobody reads, and others asking beside them (A37).
func TestStalledReaders(t *testing.T) {
	const answer = 9 << 20
	for _, tt := range []struct {
		name  string
		stall func(t *testing.T, address string)
	}{
		{"24 streams of one HTTP/2 connection", func(t *testing.T, address string) { stallStreams(t, address, 24) }},
		{"100 sockets", func(t *testing.T, address string) {
			for range 100 {
				c := dial(t, address)
				if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(c, "GET %s/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n", queries)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var begun, stuck atomic.Int64
			w := start(t, &world{
				upstream: func(out http.ResponseWriter, in *http.Request) {
					out.Header().Set("content-type", "application/json")
					if !strings.HasSuffix(in.URL.Path, "/big") {
						io.WriteString(out, "{}")
						return
					}
					begun.Add(1)
					stuck.Add(1)
					defer stuck.Add(-1)
					row := []byte(strings.Repeat("x", 64<<10))
					for range answer / len(row) {
						if _, err := out.Write(row); err != nil {
							return
						}
					}
				},
			})
			tt.stall(t, w.rest)
			// They stand still once what arrives at the upstream does not grow any more.
			for last := int64(-1); last != begun.Load() || last == 0; time.Sleep(500 * time.Millisecond) {
				last = begun.Load()
			}
			var wg sync.WaitGroup
			failed := make(chan error, 12)
			for range 12 {
				wg.Go(func() {
					client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
					res, err := client.Get("http://" + w.rest + queries + "/small")
					if err == nil {
						_, err = io.Copy(io.Discard, res.Body)
						res.Body.Close()
					}
					if err != nil {
						failed <- err
					}
				})
			}
			wg.Wait()
			close(failed)
			if n := len(failed); n > 0 {
				t.Errorf("%d of 12 other requests hang beside %d stalled readers: %v", n, begun.Load(), <-failed)
			}
			if stuck.Load() == 0 {
				t.Error("no answer stood still: the test shows nothing")
			}
		})
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// http2Client is one HTTP/2 connection, frame by frame.
type http2Client struct {
	net.Conn
	*http2.Framer
	encode *hpack.Encoder
	block  *strings.Builder
	next   uint32
}

// dialHTTP2 opens a connection whose streams may be sent window bytes each.
func dialHTTP2(t *testing.T, address string, window uint32) *http2Client {
	t.Helper()
	c := &http2Client{Conn: dial(t, address), block: &strings.Builder{}, next: 1}
	c.encode = hpack.NewEncoder(c.block)
	if _, err := io.WriteString(c.Conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c.Framer = http2.NewFramer(c.Conn, c.Conn)
	if err := c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens a stream with headers, and leaves it open for a body unless end is set.
func (c *http2Client) open(t *testing.T, end bool, headers ...string) {
	t.Helper()
	c.block.Reset()
	for i := 0; i < len(headers); i += 2 {
		if err := c.encode.WriteField(hpack.HeaderField{Name: headers[i], Value: headers[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	id := c.next
	c.next += 2
	if err := c.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: []byte(c.block.String()), EndHeaders: true, EndStream: end,
	}); err != nil {
		t.Fatal(err)
	}
}

func stallStreams(t *testing.T, address string, n int) {
	t.Helper()
	c := dialHTTP2(t, address, 64<<10)
	for range n {
		c.open(t, true, ":method", "GET", ":path", queries+"/big", ":authority", "x", ":scheme", "http", "authorization", "Bearer t")
	}
}

// TestSilentConnections has connections that do not speak go in seconds, and those of clients that
// wait, or pause between requests, stay.
func TestSilentConnections(t *testing.T) {
	release := make(chan struct{})
	w := start(t, &world{check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		if strings.HasSuffix(in.GetAttributes().GetRequest().GetHttp().GetPath(), "/held") {
			<-release
		}
		return allow(ctx, in)
	}})
	ask := func(c net.Conn, path string) { fmt.Fprintf(c, "GET %s%s HTTP/1.1\r\nHost: x\r\n\r\n", queries, path) }
	answered := func(t *testing.T, c net.Conn) {
		t.Helper()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%v %v", res, err)
		}
		io.Copy(io.Discard, res.Body)
	}
	held, pooled := dial(t, w.rest), dial(t, w.rest)
	ask(held, "/held")
	ask(pooled, "/x")
	answered(t, pooled)

	for _, tt := range []struct {
		name, address, says string
	}{
		{"no byte", w.rest, ""},
		{"no byte, TLS", w.restTLS, ""},
		{"no byte, gRPC", w.grpc, ""},
		{"no byte, token", w.tokenAddr, ""},
		{"one byte", w.rest, "G"},
		{"no end of its headers", w.rest, "GET /bigquery/v2/x HTTP/1.1\r\nHost: x\r\nX-A: "},
		{"half a TLS record", w.restTLS, "\x16\x03\x01\x02\x00\x01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, tt.address)
			io.WriteString(c, tt.says)
			c.SetReadDeadline(time.Now().Add(30 * time.Second))
			_, err := io.Copy(io.Discard, c)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("still open after 30 s")
			}
		})
	}
	ask(pooled, "/y")
	answered(t, pooled)
	close(release)
	answered(t, held)
}

// TestTheEarlyLook shows of which requests Envoy asks before their body has come, and that the look
// decides about nothing.
func TestTheEarlyLook(t *testing.T) {
	var looks, checks atomic.Int64
	var verdicts sync.Map
	w := start(t, &world{
		check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			if md, _ := metadata.FromIncomingContext(ctx); len(md.Get(LookMetadata)) == 0 {
				checks.Add(1)
				return allow(ctx, in)
			}
			looks.Add(1)
			if len(in.GetAttributes().GetRequest().GetHttp().GetRawBody()) > 0 {
				t.Error("the look has a body")
			}
			return goOnOrRefuse(in), nil
		},
		process: func(s procv3.ExternalProcessor_ProcessServer) error {
			return each(s, func(in *procv3.ProcessingRequest) (*procv3.ProcessingResponse, error) {
				if in.GetRequestHeaders() != nil {
					verdicts.Store(in.GetMetadataContext().GetFilterMetadata()[filterExtAuthz].GetFields()["bqgate"].GetStringValue(), true)
				}
				return pass(in)
			})
		},
	})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h2 := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	for _, tt := range []struct {
		name   string
		client *http.Client
		method string
		body   io.Reader
		looks  int64
	}{
		{"HTTP/1.1, no body", http.DefaultClient, "GET", nil, 0},
		{"HTTP/1.1, an empty body", http.DefaultClient, "POST", strings.NewReader(""), 0},
		{"HTTP/1.1, 15,999 bytes", http.DefaultClient, "POST", strings.NewReader(strings.Repeat("x", 15_999)), 0},
		{"HTTP/1.1, 16,000 bytes", http.DefaultClient, "POST", strings.NewReader(strings.Repeat("x", 16_000)), 1},
		{"HTTP/1.1, a megabyte", http.DefaultClient, "POST", strings.NewReader(strings.Repeat("x", 1<<20)), 1},
		{"HTTP/1.1, chunked", http.DefaultClient, "POST", io.MultiReader(strings.NewReader("x")), 1}, // and says it is not
		{"HTTP/1.1, GET with a body", http.DefaultClient, "GET", strings.NewReader(strings.Repeat("x", 1<<20)), 1},
		{"HTTP/2, no body", h2, "GET", nil, 1},
		{"HTTP/2, a small body", h2, "POST", strings.NewReader("x"), 1},
		{"HTTP/2, of unknown length", h2, "POST", io.MultiReader(strings.NewReader("x")), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			looks.Store(0)
			checks.Store(0)
			verdicts.Clear()
			header := http.Header{"Authorization": {"Bearer good"}, "X-Bqgate-Transfer-Encoding": {"-"}}
			code, _, body := do(t, tt.client, tt.method, "http://"+w.rest+queries+"/x", header, tt.body)
			if _, sealed := verdicts.Load("sealed"); code != 200 || !sealed {
				t.Errorf("status %d %s, verdict there: %t", code, body, sealed)
			}
			if looks.Load() != tt.looks || checks.Load() != 1 {
				t.Errorf("%d looks and %d checks, want %d and 1", looks.Load(), checks.Load(), tt.looks)
			}
		})
	}
	t.Run("health by HTTP/2", func(t *testing.T) {
		looks.Store(0)
		if code, _, body := do(t, h2, "GET", "http://"+w.rest+healthPath, nil, nil); code != 200 || looks.Load() != 0 {
			t.Errorf("status %d %s, %d looks", code, body, looks.Load())
		}
	})
	checks.Store(0)
	for name, framing := range map[string]string{"a length": "Content-Length: 1000000\r\n", "chunks": "Transfer-Encoding: chunked\r\n"} {
		t.Run("refused before the body, by HTTP/1.1 with "+name, func(t *testing.T) {
			c := dial(t, w.rest)
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n%s\r\n", queries, framing)
			c.SetReadDeadline(time.Now().Add(20 * time.Second)) // less than Envoy's request timeout
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != 401 {
				t.Errorf("%v %v", res, err)
			}
		})
	}
	t.Run("refused before the body, by HTTP/2", func(t *testing.T) {
		c := dialHTTP2(t, w.rest, 64<<10)
		const n = 100
		for range n {
			c.open(t, false, ":method", "POST", ":path", queries, ":authority", "x", ":scheme", "http", "content-length", "9")
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		decode := hpack.NewDecoder(4096, nil)
		refused := 0
		for refused < n {
			f, err := c.ReadFrame()
			if err != nil {
				t.Fatalf("%d of %d refused: %v", refused, n, err)
			}
			if h, is := f.(*http2.HeadersFrame); is {
				fields, err := decode.DecodeFull(h.HeaderBlockFragment())
				if err != nil || len(fields) == 0 || fields[0].Value != "401" {
					t.Fatalf("%v %v", fields, err)
				}
				refused++
			}
		}
	})
	if checks.Load() != 0 {
		t.Errorf("%d of them were checked as a whole", checks.Load())
	}
}
