//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/redistest"
)

// redisProxy stands between the gateway and Redis, and does to it what networks and failing servers
// do.
type redisProxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	mode  string // "", "down", "frozen", "slow", "cut", or an error that every command gets
	conns map[net.Conn]bool
}

func newRedisProxy(t *testing.T) *redisProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &redisProxy{listener: l, target: redistest.Start(t), conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); p.become("down") })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *redisProxy) addr() string { return p.listener.Addr().String() }

// become changes what is done, and ends all connections unless the server is only slow or frozen.
func (p *redisProxy) become(mode string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode
	if mode != "frozen" && mode != "slow" {
		for c := range p.conns {
			c.Close()
		}
	}
}

func (p *redisProxy) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode
}

func (p *redisProxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	down := p.mode == "down"
	p.conns[client] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
	}()
	if down {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer client.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := server.Read(buf)
			if n > 0 && p.now() == "cut" { // in the middle of an answer
				client.Write(buf[:n/2])
				return
			}
			p.hold()
			if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}()
	in := bufio.NewReader(client)
	for {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		p.hold()
		switch mode := p.now(); {
		case strings.HasPrefix(mode, "-"):
			_, err = io.WriteString(client, mode+"\r\n")
		default:
			_, err = server.Write(command)
		}
		if err != nil {
			return
		}
	}
}

// hold keeps what passes by, while the server is frozen or slow.
func (p *redisProxy) hold() {
	if p.now() == "slow" {
		time.Sleep(2500 * time.Millisecond)
	}
	for p.now() == "frozen" {
		time.Sleep(10 * time.Millisecond)
	}
}

// readCommand reads one array of bulk strings as it stands.
func readCommand(in *bufio.Reader) ([]byte, error) {
	var out bytes.Buffer
	line := func() (n int, err error) {
		text, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		out.WriteString(text)
		_, err = fmt.Sscanf(text[1:], "%d", &n)
		return n, err
	}
	count, err := line()
	if err != nil {
		return nil, err
	}
	for range count {
		size, err := line()
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(&out, in, int64(size)+2); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// backWithin bounds how long after Redis is back everything is well again, without a restart.
const backWithin = 5 * time.Second

// During an outage of Redis, of whatever kind, nothing is sent to BigQuery: who gets a 503 has not
// been billed. Once it is back, the same requests are served, and each runs once.
func TestNothingIsSentWhileRedisIsAway(t *testing.T) {
	p := newRedisProxy(t)
	d := startDemo(t, "--redis", "redis://"+p.addr())
	direct := redis.NewClient(&redis.Options{Addr: p.target})
	t.Cleanup(func() { direct.Close() })
	d.healthy(t)
	sent := &sender{d: d, token: d.token("agent")}
	config := func(t *testing.T, key, value string) {
		t.Helper()
		if err := direct.ConfigSet(context.Background(), key, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ away, back func(t *testing.T) }{
		"down":     {func(*testing.T) { p.become("down") }, nil},
		"frozen":   {func(*testing.T) { p.become("frozen") }, nil},
		"slow":     {func(*testing.T) { p.become("slow") }, nil},
		"cut off":  {func(*testing.T) { p.become("cut") }, nil},
		"LOADING":  {func(*testing.T) { p.become("-LOADING Redis is loading the dataset in memory") }, nil},
		"READONLY": {func(*testing.T) { p.become("-READONLY You can't write against a read only replica.") }, nil},
		"NOAUTH":   {func(*testing.T) { p.become("-NOAUTH Authentication required.") }, nil},
		"OOM":      {func(t *testing.T) { config(t, "maxmemory", "1") }, func(t *testing.T) { config(t, "maxmemory", "0") }},
	} {
		t.Run(name, func(t *testing.T) {
			mark := fmt.Sprintf("/* away %s %d */", strings.ReplaceAll(name, " ", "_"), time.Now().UnixNano())
			id := fmt.Sprintf("away_%d", time.Now().UnixNano())
			asks := map[string]func(ctx context.Context) (answer, error){
				"without a name": func(ctx context.Context) (answer, error) {
					return sent.post(ctx, "queries",
						map[string]any{"query": "SELECT 1 " + mark + " -- plain", "useLegacySql": false})
				},
				"with a requestId": func(ctx context.Context) (answer, error) {
					return sent.post(ctx, "queries",
						map[string]any{"query": "SELECT 2 " + mark + " -- named", "useLegacySql": false, "requestId": id})
				},
				"jobs.insert": func(ctx context.Context) (answer, error) {
					return sent.post(ctx, "jobs", map[string]any{
						"jobReference":  map[string]any{"projectId": "demo", "jobId": id},
						"configuration": map[string]any{"query": map[string]any{"query": "SELECT 3 " + mark, "useLegacySql": false}}})
				},
			}
			c.away(t)
			back := func() {
				if c.back != nil {
					c.back(t)
				}
				p.become("")
			}
			defer back()
			var group sync.WaitGroup
			for way, ask := range asks {
				for range 3 {
					group.Go(func() {
						ctx, cancel := contextTimeout(noHang)
						defer cancel()
						a, err := ask(ctx)
						if err != nil || a.Status != 503 {
							t.Errorf("%s: status %d, %v, want 503", way, a.Status, err)
						}
					})
				}
			}
			group.Wait()
			for _, j := range d.ran(t) {
				if strings.Contains(j.SQL, mark) {
					t.Errorf("sent to BigQuery: %s", j.SQL)
				}
			}
			back()
			since := time.Now()
			for way, ask := range asks {
				for {
					ctx, cancel := contextTimeout(noHang)
					a, err := ask(ctx)
					cancel()
					if err == nil && a.Status == 200 {
						break
					}
					if time.Since(since) > backWithin {
						t.Fatalf("%s, %s after Redis is back: status %d %s, %v", way, time.Since(since), a.Status, a.message(), err)
					}
					time.Sleep(50 * time.Millisecond)
				}
			}
			t.Logf("well again %s after Redis is back", time.Since(since).Round(time.Millisecond))
			ran := 0
			for _, j := range d.ran(t) {
				if strings.Contains(j.SQL, mark) {
					ran++
				}
			}
			if ran != len(asks) {
				t.Errorf("%d jobs ran for %d requests", ran, len(asks))
			}
			if a := d.query("agent", payroll+" "+mark); a.Status != 200 || strings.Contains(string(a.Body), `"rows"`) {
				t.Errorf("a query that waits: %d %s", a.Status, a.message())
			}
		})
	}
	sent.keep()
	d.searchCanaries()
}

// sender sends requests at once and keeps what comes back for the canary search.
type sender struct {
	d     *demo
	token string
	mu    sync.Mutex
	got   [][]byte
}

func (s *sender) post(ctx context.Context, what string, body any) (answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", s.d.REST+"/bigquery/v2/projects/demo/"+what, bytes.NewReader(text))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, got)
	return answer{resp.StatusCode, resp.Header, got}, err
}

func (s *sender) keep() { s.d.got = append(s.d.got, s.got...) }

// Redis goes away while BigQuery runs the query. The request that its client can name again finds
// its job once Redis is back, and runs no second one; to the client of the other it is not said to
// try again.
func TestRedisGoesAwayWhileAQueryRuns(t *testing.T) {
	p := newRedisProxy(t)
	d := startDemo(t, "--redis", "redis://"+p.addr())
	d.healthy(t)
	sent := &sender{d: d, token: d.token("agent")}
	for _, mode := range []string{"down", "frozen", "-READONLY You can't write against a read only replica."} {
		for _, named := range []bool{true, false} {
			t.Run(fmt.Sprintf("%.9s, named %t", mode, named), func(t *testing.T) {
				mark := fmt.Sprintf("/* amid %d */", time.Now().UnixNano())
				body := map[string]any{"query": "SELECT 4 " + mark + "\n-- fake:delay=2s", "useLegacySql": false}
				if named {
					body["requestId"] = fmt.Sprintf("amid_%d", time.Now().UnixNano())
				}
				ask := func() (answer, error) {
					ctx, cancel := contextTimeout(noHang)
					defer cancel()
					return sent.post(ctx, "queries", body)
				}
				runs := func() (n int) {
					for _, j := range d.ran(t) {
						if strings.Contains(j.SQL, mark) {
							n++
						}
					}
					return n
				}
				defer p.become("")
				first := make(chan answer, 1)
				go func() {
					a, err := ask()
					if err != nil {
						t.Error(err)
					}
					first <- a
				}()
				for deadline := time.Now().Add(10 * time.Second); runs() == 0; time.Sleep(20 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatal("the query does not come to BigQuery")
					}
				}
				p.become(mode)
				a := <-first
				want := 403
				if named {
					want = 503
				}
				if a.Status != want {
					t.Errorf("status %d %s, want %d", a.Status, a.message(), want)
				}
				p.become("")
				if !named {
					if n := runs(); n != 1 {
						t.Errorf("%d jobs", n)
					}
					return
				}
				for since := time.Now(); ; time.Sleep(50 * time.Millisecond) {
					a, err := ask()
					if err == nil && a.Status == 200 {
						break
					}
					if time.Since(since) > backWithin {
						t.Fatalf("%d %s, %v", a.Status, a.message(), err)
					}
				}
				if n := runs(); n != 1 {
					t.Errorf("the request ran %d jobs", n)
				}
			})
		}
	}
}
