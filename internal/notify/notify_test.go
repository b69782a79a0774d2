package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/approvals/approvalstest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/policies"
)

// receiver is a webhook that keeps what it got and answers as it is told to.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []delivery
	answer func(n int) int
}

type delivery struct {
	header http.Header
	body   string
}

func newReceiver(t *testing.T, answer func(n int) int) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.got = append(r.got, delivery{q.Header.Clone(), string(body)})
		status := r.answer(len(r.got))
		r.mu.Unlock()
		if status == http.StatusFound {
			w.Header().Set("Location", "http://169.254.169.254/latest/meta-data/")
		}
		w.WriteHeader(status)
		io.WriteString(w, "canary in the answer")
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) deliveries() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivery(nil), r.got...)
}

func always(status int) func(int) int { return func(int) int { return status } }

const canary = "123-45-6789"

// house is a store with targets, and a notifier that tries again at once.
type house struct {
	t       *testing.T
	store   *approvals.Store
	client  *redis.Client
	targets *Targets
	log     *bytes.Buffer
}

func newHouse(t *testing.T, c Config) *house {
	t.Helper()
	targets, err := Load(c)
	if err != nil {
		t.Fatal(err)
	}
	keys := sealedtest.Keyring(t, 1)
	h := &house{t: t, client: redis.NewClient(&redis.Options{Addr: redistest.Start(t)}), targets: targets, log: &bytes.Buffer{}}
	t.Cleanup(func() { h.client.Close() })
	h.store, err = approvals.New(approvals.Options{Redis: h.client, Keys: keys, Journal: &approvalstest.Journal{},
		ConsoleURL: "https://bqgate.example",
		Notify:     targets.Of})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.store.Close)
	return h
}

func (h *house) notifier(retry time.Duration) *Notifier {
	n := New(func() *Targets { return h.targets }, h.store, slog.New(slog.NewTextHandler(h.log, nil)))
	n.retry = func(int) time.Duration { return retry }
	return n
}

// hold makes a request whose every free text holds something that must not be told.
func (h *house) hold() approvals.Request {
	h.t.Helper()
	r, err := h.store.Hold(context.Background(), approvals.Held{
		Operation: bigquery.Operation{Method: bigquery.MethodQuery, Query: &bigquery.QueryRequest{
			SQL:        "SELECT salary FROM finance.payroll WHERE ssn = '" + canary + "'",
			Parameters: json.RawMessage(`[{"parameterValue":{"value":"` + canary + `"}}]`), ParameterMode: "NAMED",
			Labels: map[string]string{"x": canary},
		}},
		Job: bigquery.JobReference{ProjectID: "acme", JobID: "j-" + canary, Location: "EU"}, Decision: "d", Statement: "x", Credential: "c",
		Subject: identity.Subject{
			Issuer: "i", Sub: "repo:acme/app:ref:refs/heads/<http://evil.example|click>*_\u202e\n@here", Owner: "o", Grant: "g",
			People: []string{"carol"}, Mapped: true,
			Claims: map[string]any{"actor": canary},
		},
		Tables: []string{"acme.finance.payroll"}, Sensitive: []string{"acme.finance.payroll.ssn"}, Estimated: true, EstimatedBytes: 5 << 30,
		EstimatedCost: 0.0305,
		Approval:      policies.Approval{Why: "because " + canary, Reviewers: []string{"owners"}, Quorum: 1, Expires: time.Hour},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

var dana = approvals.Decider{Subject: identity.Subject{Issuer: "h", Sub: "dana", People: []string{"dana"}, Mapped: true},
	Groups: []string{"owners"}}

func secretFile(t *testing.T) (path string, secret []byte) {
	t.Helper()
	secret = bytes.Repeat([]byte{9}, 32)
	path = filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("whsec_"+base64.StdEncoding.EncodeToString(secret)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, secret
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// A request is told to Slack and to a webhook that can check the signature; neither hears a word of
// the SQL (A22).
func TestTold(t *testing.T) {
	path, secret := secretFile(t)
	slack, hook := newReceiver(t, always(200)), newReceiver(t, always(204))
	h := newHouse(t, Config{Allow: []string{"127.0.0.0/8"}, Targets: []Target{
		{Name: "slack", Type: "slack", URL: slack.URL + "/services/T0/B0/secret"},
		{Name: "hook", Type: "webhook", URL: hook.URL, SecretFile: path, Events: []string{"requested", "denied"},
			Groups: []string{"owners"}},
		{Name: "others", Type: "slack", URL: slack.URL + "/others", Groups: []string{"nobody"}},
	}})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.notifier(time.Millisecond).Run(ctx) }()
	r := h.hold()
	until(t, "two deliveries", func() bool { return len(slack.deliveries()) == 1 && len(hook.deliveries()) == 1 })
	if _, err := h.store.Vote(ctx, r.ID, dana, approvals.Deny, "not with "+canary); err != nil {
		t.Fatal(err)
	}
	until(t, "the denial", func() bool { return len(hook.deliveries()) == 2 })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(slack.deliveries()); n != 1 {
		t.Errorf("Slack got %d messages, want the request alone", n)
	}
	for _, d := range append(slack.deliveries(), hook.deliveries()...) {
		for _, secret := range []string{canary, "SELECT", "salary", "ssn", "because", "carol"} {
			t.Run(secret, func(t *testing.T) {
				if strings.Contains(d.body, secret) {
					t.Errorf("told %q: %s", secret, d.body)
				}
			})
		}
		for _, must := range []string{"repo:acme/app", "acme.finance.payroll", "https://bqgate.example/requests/" + r.ID} {
			t.Run(must, func(t *testing.T) {
				if !strings.Contains(d.body, must) {
					t.Errorf("does not say %q: %s", must, d.body)
				}
			})
		}
	}
	text := slack.deliveries()[0].body
	for _, forged := range []string{`<http://evil`, `\u003chttp://evil`, "\u202e", `\n@here`} {
		t.Run(forged, func(t *testing.T) {
			if strings.Contains(text, forged) {
				t.Errorf("a branch name writes %q into Slack: %s", forged, text)
			}
		})
	}
	if !strings.Contains(text, "5 GiB") || !strings.Contains(text, "0.03 USD") {
		t.Errorf("no cost: %s", text)
	}
	for i, d := range hook.deliveries() {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(d.header.Get("webhook-id") + "." + d.header.Get("webhook-timestamp") + "." + d.body))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); d.header.Get("webhook-signature") != want {
			t.Errorf("signature %q, want %q", d.header.Get("webhook-signature"), want)
		}
		var got struct {
			Type string
			Data struct{ State string }
		}
		if err := json.Unmarshal([]byte(d.body), &got); err != nil || got.Type != []string{"request.requested", "request.denied"}[i] {
			t.Errorf("delivery %d: %+v, %v", i, got, err)
		}
	}
	if a, b := hook.deliveries()[0].header.Get("webhook-id"), hook.deliveries()[1].header.Get("webhook-id"); a == b ||
		!strings.HasPrefix(a, "msg_") {
		t.Errorf("ids %q, %q", a, b)
	}
	if n, err := h.store.Notifications(context.Background(), "", everything); err != nil || len(n) != 0 {
		t.Errorf("left in the outbox: %+v, %v", n, err)
	}
}

func everything(approvals.Request) bool { return true }

// The sender dies after the receiver has taken the message and before that is known: it is told
// again, under the same id.
func TestTwiceUnderOneID(t *testing.T) {
	path, _ := secretFile(t)
	hook := newReceiver(t, always(200))
	h := newHouse(t, Config{Allow: []string{"127.0.0.0/8"},
		Targets: []Target{{Name: "hook", Type: "webhook", URL: hook.URL, SecretFile: path}}})
	h.hold()
	ctx := context.Background()
	taken, err := h.store.TakeMessages(ctx, 8, 50*time.Millisecond)
	if err != nil || len(taken) != 1 {
		t.Fatalf("took %+v, %v", taken, err)
	}
	target, _ := h.targets.named("hook")
	r, err := h.store.Get(ctx, taken[0].Request)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.notifier(0).send(ctx, target, taken[0], r); err != nil { // and dies here
		t.Fatal(err)
	}
	if again, err := h.store.TakeMessages(ctx, 8, time.Minute); err != nil || len(again) != 0 {
		t.Fatalf("taken twice within the lease: %+v, %v", again, err)
	}
	time.Sleep(60 * time.Millisecond)
	n := h.notifier(0)
	until(t, "told again", func() bool { n.round(ctx); return len(hook.deliveries()) == 2 })
	if a, b := hook.deliveries()[0].header.Get("webhook-id"), hook.deliveries()[1].header.Get("webhook-id"); a != b {
		t.Errorf("two ids for one message: %s, %s", a, b)
	}
}

// A target that fails for a while gets its message; one that fails for good leaves a dead letter
// that says why, without what the target said.
func TestRetriesAndDeadLetters(t *testing.T) {
	path, _ := secretFile(t)
	for name, c := range map[string]struct {
		answer func(int) int
		tries  int
		dead   bool
		says   string
	}{
		"fails twice": {answer: func(n int) int { return map[bool]int{true: 503, false: 200}[n <= 2] }, tries: 3},
		"always 500":  {answer: always(500), tries: maxAttempts, dead: true, says: "500"},
		"gone":        {answer: always(410), tries: 1, dead: true, says: "410"},
		"redirects":   {answer: always(302), tries: maxAttempts, dead: true, says: "redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			hook := newReceiver(t, c.answer)
			h := newHouse(t, Config{Allow: []string{"127.0.0.0/8"},
				Targets: []Target{{Name: "hook", Type: "webhook", URL: hook.URL + "/secret-path", SecretFile: path}}})
			r := h.hold()
			n := h.notifier(0)
			ctx := context.Background()
			for range 3 * maxAttempts {
				n.round(ctx)
				time.Sleep(2 * time.Millisecond)
			}
			if got := len(hook.deliveries()); got != c.tries {
				t.Errorf("%d tries, want %d", got, c.tries)
			}
			dead, err := h.store.Notifications(ctx, approvals.NotificationDead, everything)
			if err != nil || (len(dead) == 1) != c.dead {
				t.Fatalf("dead letters %+v, %v", dead, err)
			}
			if c.dead && (dead[0].Request != r.ID || dead[0].Target != "hook" || dead[0].Attempts != c.tries ||
				!strings.Contains(dead[0].Failure, c.says)) {
				t.Errorf("dead letter %+v", dead[0])
			}
			if none, err := h.store.Notifications(ctx, "", func(approvals.Request) bool { return false }); err != nil || len(none) != 0 {
				t.Errorf("shown to one who may not see the request: %+v, %v", none, err)
			}
			text, err := json.Marshal(dead)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"canary", "secret-path"} {
				if strings.Contains(string(text)+h.log.String(), secret) {
					t.Errorf("%q shows in %s or in the log", secret, text)
				}
			}
		})
	}
}

// What is planted in the outbox is not told, and stops nothing.
func TestPlantedMessages(t *testing.T) {
	path, _ := secretFile(t)
	hook := newReceiver(t, always(200))
	h := newHouse(t, Config{Allow: []string{"127.0.0.0/8"},
		Targets: []Target{{Name: "hook", Type: "webhook", URL: hook.URL, SecretFile: path}}})
	ctx := context.Background()
	for _, ref := range []string{"x", "a|b|c|d", "|requested|r-01ARZ3NDEKTSV4RRFFQ69G5FAV|hook",
		"n|requested|r-01ARZ3NDEKTSV4RRFFQ69G5FAV|hook", strings.Repeat("A", 1<<20)} {
		h.client.ZAdd(ctx, "bqgate:{approvals}:outbox", redis.Z{Member: ref, Score: 1})
	}
	r := h.hold()
	n := h.notifier(0)
	for range 4 {
		n.round(ctx)
	}
	if got := hook.deliveries(); len(got) != 1 || !strings.Contains(got[0].body, r.ID) {
		t.Fatalf("told %+v", got)
	}
	if left := h.client.ZCard(ctx, "bqgate:{approvals}:outbox").Val(); left != 0 {
		t.Errorf("%d are left", left)
	}
}

func TestAddresses(t *testing.T) {
	allow := prefixes("10.1.2.0/24", "fd00::/64")
	for text, want := range map[string]error{
		"8.8.8.8": nil, "2606:4700::1111": nil, "10.1.2.3": nil, "::ffff:10.1.2.3": nil, "fd00::1": nil,
		"127.0.0.1": errPrivate, "127.9.9.9": errPrivate, "::1": errPrivate, "::ffff:127.0.0.1": errPrivate, "::127.0.0.1": errPrivate,
		"0.0.0.0": errPrivate, "::": errPrivate,
		"10.1.3.1": errPrivate, "172.16.0.1": errPrivate, "192.168.1.1": errPrivate, "169.254.169.254": errPrivate,
		"fe80::1%eth0": errPrivate, "fd00:0:0:1::1": errPrivate,
		"fd00:ec2::254": errPrivate, "100.100.100.200": errPrivate, "64:ff9b::a9fe:a9fe": errPrivate, "2002:7f00:1::": errPrivate,
		"224.0.0.1": errPrivate, "255.255.255.255": errPrivate,
		"198.18.0.1": errPrivate, "ff02::1": errPrivate, "240.0.0.1": errPrivate, "192.0.0.192": errPrivate,
	} {
		t.Run(text, func(t *testing.T) {
			if err := mayDial(netip.MustParseAddr(text), allow, false); !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Errorf("%s: %v, want %v", text, err, want)
			}
		})
	}
	if err := mayDial(netip.MustParseAddr("8.8.8.8"), allow, true); !errors.Is(err, errPlain) {
		t.Errorf("plain http to the Internet: %v", err)
	}
}

// A name that leads to loopback is refused at the connection, whatever it is called.
func TestNamesThatLeadInside(t *testing.T) {
	hook := newReceiver(t, always(200))
	_, port, _ := strings.Cut(strings.TrimPrefix(hook.URL, "http://"), ":")
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433"} {
		t.Run(host, func(t *testing.T) {
			for _, c := range []*http.Client{client(allowing(), false), client(allowing("10.0.0.0/8"), true)} {
				answer, err := c.Get("http://" + host + ":" + port)
				if err == nil {
					answer.Body.Close()
					t.Errorf("%s was reached", host)
				}
			}
		})
	}
	if got := hook.deliveries(); len(got) != 0 {
		t.Errorf("%d requests arrived", len(got))
	}
}

func TestConfigurationMistakes(t *testing.T) {
	path, _ := secretFile(t)
	for name, c := range map[string]struct {
		config Config
		says   string
	}{
		"network": {Config{Allow: []string{"10.1.2.3"}}, "is not a network"},
		"type":    {Config{Targets: []Target{{Name: "a", Type: "teams", URL: "https://x.example"}}}, "want slack or webhook"},
		"no url":  {Config{Targets: []Target{{Name: "a", Type: "slack"}}}, "either url or url_file"},
		"both urls": {Config{Targets: []Target{{Name: "a", Type: "slack", URL: "https://x.example", URLFile: path}}},
			"either url or url_file"},
		"plain":     {Config{Targets: []Target{{Name: "a", Type: "slack", URL: "http://x.example/hush"}}}, "plain http"},
		"scheme":    {Config{Targets: []Target{{Name: "a", Type: "slack", URL: "file:///etc/hush"}}}, "https://"},
		"user":      {Config{Targets: []Target{{Name: "a", Type: "slack", URL: "https://hush@x.example/"}}}, "without a user"},
		"no secret": {Config{Targets: []Target{{Name: "a", Type: "webhook", URL: "https://x.example/"}}}, "secret_file is missing"},
		"event": {Config{Targets: []Target{{Name: "a", Type: "slack", URL: "https://x.example/", Events: []string{"pending"}}}},
			"pending"},
		"twice": {Config{Targets: []Target{{Name: "a", Type: "slack", URL: "https://x.example/"},
			{Name: "a", Type: "slack", URL: "https://x.example/"}}}, "taken"},
		"name": {Config{Targets: []Target{{Name: "A|b", Type: "slack", URL: "https://x.example/"}}}, "name must be"},
		"slack secret": {Config{Targets: []Target{{Name: "a", Type: "slack", URL: "https://x.example/", SecretFile: path}}},
			"no signature"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(c.config)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%s: %v, want it to say %q and no URL", name, err, c.says)
			}
		})
	}
	if _, err := Load(Config{}); err != nil {
		t.Errorf("nothing configured: %v", err)
	}
}

func allowing(networks ...string) func() []netip.Prefix {
	return func() []netip.Prefix { return prefixes(networks...) }
}
