package credentials

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMintAsksForLittle(t *testing.T) {
	google := startFakes(t)
	b := newBroker(t, google.config())
	before := time.Now()
	token, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(token.Bearer(), "ya29.fake-") || token.Account != "crm-reader" {
		t.Fatalf("token of account %s", token.Account)
	}
	if life := token.Expiry.Sub(before); life < 9*time.Minute || life > 11*time.Minute {
		t.Errorf("token lives %s", life)
	}
	if _, err := b.Mint(context.Background(), decided(t), run("long", "alice")); err != nil {
		t.Fatal(err)
	}
	requests := google.requests()
	if len(requests) != 2 {
		t.Fatalf("%d requests", len(requests))
	}
	r := requests[0]
	if r.Name != "projects/-/serviceAccounts/"+reader || len(r.Scope) != 1 || r.Scope[0] != "https://www.googleapis.com/auth/bigquery" ||
		r.Lifetime.AsDuration() != 10*time.Minute || len(r.Delegates) != 0 {
		t.Errorf("request %v", r)
	}
	if requests[1].Lifetime.AsDuration() != time.Hour {
		t.Errorf("request %v", requests[1])
	}
}

func TestTokensAreNotSharedAcrossOwnersOrAccounts(t *testing.T) {
	google := startFakes(t)
	b := newBroker(t, google.config())
	ctx := context.Background()
	seen := map[string]string{}
	for _, slot := range []struct{ account, owner string }{{"crm-reader", "alice"}, {"crm-reader", "bob"},
		{"long", "alice"}, {"crm-reader", "alice/../bob"},
		{"crm-reader", "Alice"}} {
		first, err := b.Mint(ctx, decided(t), run(slot.account, slot.owner))
		if err != nil {
			t.Fatal(err)
		}
		second, err := b.Mint(ctx, decided(t), run(slot.account, slot.owner))
		if err != nil {
			t.Fatal(err)
		}
		if first.Bearer() != second.Bearer() {
			t.Errorf("%v: minted twice", slot)
		}
		if other, taken := seen[first.Bearer()]; taken {
			t.Errorf("%v has the token of %s", slot, other)
		}
		seen[first.Bearer()] = slot.account + " " + slot.owner
	}
	inspection, err := b.Inspection(ctx, decided(t))
	if err != nil {
		t.Fatal(err)
	}
	if other, taken := seen[inspection.Bearer()]; taken {
		t.Errorf("inspection has the token of %s", other)
	}
	for _, mistake := range []struct{ account, owner string }{{"inspection", "alice"}, {"inspection", ""}, {"unknown", "alice"},
		{"", "alice"}, {"crm-reader", ""}} {
		if token, err := b.Mint(ctx, decided(t), run(mistake.account, mistake.owner)); err == nil || token.Bearer() != "" {
			t.Errorf("%v: minted, %v", mistake, err)
		}
	}
}

func TestTokenIsUsedUntilAMinuteBeforeItsEnd(t *testing.T) {
	google := startFakes(t)
	b := newBroker(t, google.config())
	var offset time.Duration
	b.now = func() time.Time { return time.Now().Add(offset) }
	mint := func() string {
		token, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice"))
		if err != nil {
			t.Fatal(err)
		}
		return token.Bearer()
	}
	first := mint()
	offset = 8*time.Minute + 55*time.Second
	if mint() != first {
		t.Error("minted again with more than a minute left")
	}
	offset = 9 * time.Minute
	google.set(func() {
		google.answer = func(_ context.Context, r *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse,
			error) {
			return &credentialspb.GenerateAccessTokenResponse{AccessToken: "ya29.second",
				ExpireTime: timestamppb.New(b.now().Add(r.Lifetime.AsDuration()))}, nil
		}
	})
	if got := mint(); got != "ya29.second" {
		t.Error("an old token is used with a minute left")
	}
}

func TestForget(t *testing.T) {
	google := startFakes(t)
	b := newBroker(t, google.config())
	ctx := context.Background()
	mint := func(owner string) string {
		token, err := b.Mint(ctx, decided(t), run("crm-reader", owner))
		if err != nil {
			t.Fatal(err)
		}
		return token.Bearer()
	}
	alice, bob := mint("alice"), mint("bob")
	inspection, err := b.Inspection(ctx, decided(t))
	if err != nil {
		t.Fatal(err)
	}
	b.Forget(func(owner string) bool { return owner == "alice" })
	b.Forget(func(owner string) bool { return owner == "" })
	if mint("alice") == alice {
		t.Error("a forgotten token is used")
	}
	if mint("bob") != bob {
		t.Error("another owner's token was forgotten")
	}
	if again, err := b.Inspection(ctx, decided(t)); err != nil || again.Bearer() != inspection.Bearer() {
		t.Errorf("the inspection token was forgotten: %v", err)
	}

	// A token that is being minted while its owner is forgotten is not kept.
	reached, release := make(chan struct{}), make(chan struct{})
	google.set(func() {
		google.answer = func(_ context.Context, r *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse,
			error) {
			close(reached)
			<-release
			return &credentialspb.GenerateAccessTokenResponse{AccessToken: "ya29.late",
				ExpireTime: timestamppb.New(time.Now().Add(r.Lifetime.AsDuration()))}, nil
		}
	})
	done := make(chan string)
	go func() { done <- mint("carol") }()
	<-reached
	b.Forget(func(owner string) bool { return owner == "carol" })
	google.set(func() { google.answer = nil })
	fresh := mint("carol") // does not wait for the one before the Forget
	close(release)
	if late := <-done; late != "ya29.late" || fresh == late {
		t.Errorf("tokens %q and %q", late, fresh)
	}
	if mint("carol") != fresh {
		t.Error("the token from before the Forget replaced the one after it")
	}
}

func TestMintConcurrently(t *testing.T) {
	google := startFakes(t)
	b := newBroker(t, google.config())
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]map[string]bool{"alice": {}, "bob": {}}
	for i := range 200 {
		wg.Go(func() {
			owner := []string{"alice", "bob"}[i%2]
			token, err := b.Mint(context.Background(), decided(t), run("crm-reader", owner))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[owner][token.Bearer()] = true
		})
	}
	wg.Wait()
	if len(got["alice"]) != 1 || len(got["bob"]) != 1 || len(google.requests()) != 2 {
		t.Errorf("%d and %d tokens by %d requests", len(got["alice"]), len(got["bob"]), len(google.requests()))
	}
	for token := range got["alice"] {
		if got["bob"][token] {
			t.Error("alice and bob share a token")
		}
	}
}

func TestOneImpatientCallerDoesNotSpoilTheOthers(t *testing.T) {
	google := startFakes(t)
	b := newBroker(t, google.config())
	reached, release := make(chan struct{}, 1), make(chan struct{})
	google.set(func() {
		google.answer = func(_ context.Context, r *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse,
			error) {
			reached <- struct{}{}
			<-release
			return &credentialspb.GenerateAccessTokenResponse{AccessToken: "ya29.x",
				ExpireTime: timestamppb.New(time.Now().Add(r.Lifetime.AsDuration()))}, nil
		}
	})
	impatient, cancel := context.WithCancel(context.Background())
	first, second := make(chan error), make(chan error)
	go func() { _, err := b.Mint(impatient, decided(t), run("crm-reader", "alice")); first <- err }()
	<-reached
	go func() { _, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice")); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled caller: %v", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("patient caller: %v", err)
	}
	if _, err := b.Mint(impatient, decided(t), run("crm-reader", "alice")); err == nil {
		t.Error("a cancelled request gets a token")
	}
}

func TestAnswersThatAreNotBelieved(t *testing.T) {
	google := startFakes(t)
	b := newBroker(t, google.config())
	in := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(d)) }
	for name, answer := range map[string]*credentialspb.GenerateAccessTokenResponse{
		"nothing":              {},
		"no token":             {ExpireTime: in(10 * time.Minute)},
		"no end":               {AccessToken: "ya29.x"},
		"ends now":             {AccessToken: "ya29.x", ExpireTime: in(0)},
		"ends in a minute":     {AccessToken: "ya29.x", ExpireTime: in(time.Minute)},
		"ends in two hours":    {AccessToken: "ya29.x", ExpireTime: in(2 * time.Hour)},
		"a header in the text": {AccessToken: "ya29.x\r\nx-goog-user-project: evil", ExpireTime: in(10 * time.Minute)},
		"two tokens":           {AccessToken: "ya29.x, Bearer y", ExpireTime: in(10 * time.Minute)},
		"huge":                 {AccessToken: strings.Repeat("a", 9<<10), ExpireTime: in(10 * time.Minute)},
		"end out of range":     {AccessToken: "ya29.x", ExpireTime: &timestamppb.Timestamp{Seconds: 1 << 60}},
	} {
		t.Run(name, func(t *testing.T) {
			google.set(func() {
				google.answer = func(
					context.Context, *credentialspb.GenerateAccessTokenRequest,
				) (*credentialspb.GenerateAccessTokenResponse, error) {
					return answer, nil
				}
			})
			token, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice"))
			var refused *Error
			if !errors.As(err, &refused) || token.Bearer() != "" {
				t.Errorf("%s: believed, %v", name, err)
				return
			}
			if strings.Contains(err.Error(), "ya29") || !strings.Contains(err.Error(), "crm-reader") ||
				!strings.Contains(err.Error(), google.iam) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestErrorsHoldNoCredential lets both endpoints echo what they were sent, as a debugging proxy
// would.
func TestErrorsHoldNoCredential(t *testing.T) {
	// With this, Google's libraries log requests and answers by themselves.
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	logged := captureStderr(t, func() {
		google := startFakes(t)
		b := newBroker(t, google.config())
		google.set(func() {
			google.answer = func(ctx context.Context,
				_ *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse, error) {
				return nil, status.Error(codes.PermissionDenied, "Permission iam.serviceAccounts.getAccessToken denied; you sent Bearer "+
					sourceToken+" and ya29.short")
			}
		})
		_, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice"))
		wantClean(t, err, "crm-reader", google.iam, "iam.serviceAccounts.getAccessToken")
		google.set(func() { google.answer = nil })
		if _, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice")); err != nil {
			t.Error(err)
		}

		google.set(func() {
			google.sts = func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				http.Error(w, "you sent "+string(body)+" that is "+subjectToken, http.StatusBadRequest)
			}
		})
		_, err = newBroker(t, google.config()).Mint(context.Background(), decided(t), run("crm-reader", "alice"))
		wantClean(t, err, "crm-reader", google.iam, "status code 400")
	})
	for _, secret := range []string{subjectToken, sourceToken, "ya29."} {
		if strings.Contains(logged, secret) {
			t.Errorf("logged %s: %s", secret, logged)
		}
	}
}

func wantClean(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("minted")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error lacks %q: %v", part, err)
		}
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		for _, secret := range []string{subjectToken, subjectToken[:20], sourceToken, sourceToken[:20], "ya29.short"} {
			if strings.Contains(cause.Error(), secret) {
				t.Errorf("error holds a credential: %v", cause)
			}
		}
	}
}

// captureStderr returns what is written to standard error, where Google's libraries log to.
func captureStderr(t *testing.T, run func()) string {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	saved := os.Stderr
	os.Stderr = writer
	var text bytes.Buffer
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(&text, reader) }()
	run()
	os.Stderr = saved
	writer.Close()
	<-done
	return text.String()
}

func TestGoogleDownOrFrozen(t *testing.T) {
	frozen, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, answers never
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, change := range map[string]func(*fakeGoogle, *Config){
		"IAM frozen": func(_ *fakeGoogle, c *Config) { c.IAMEndpoint.Address = frozen.Addr().String() },
		"IAM down":   func(_ *fakeGoogle, c *Config) { c.IAMEndpoint.Address = closed.Addr().String() },
		"STS frozen": func(f *fakeGoogle, _ *Config) { f.externalAccount("http://" + frozen.Addr().String() + "/v1/token") },
		"STS down":   func(f *fakeGoogle, _ *Config) { f.externalAccount("http://" + closed.Addr().String() + "/v1/token") },
		"IAM with a certificate of somebody else": func(_ *fakeGoogle, c *Config) { c.IAMEndpoint.CAFile = "" },
	} {
		t.Run(name, func(t *testing.T) {
			google := startFakes(t)
			config := google.config()
			change(google, &config)
			b := newBroker(t, config)
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			token, err := b.Mint(ctx, decided(t), run("crm-reader", "alice"))
			if err == nil || token.Bearer() != "" {
				t.Fatal("minted")
			}
			wantClean(t, err, "crm-reader", config.IAMEndpoint.Address)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if n := len(google.requests()); n != 0 {
				t.Errorf("IAM was asked %d times", n)
			}
		})
	}
	t.Run("without a deadline of the caller", func(t *testing.T) {
		google := startFakes(t)
		config := google.config()
		config.IAMEndpoint.Address = frozen.Addr().String()
		start := time.Now()
		_, err := newBroker(t, config).Mint(context.Background(), decided(t), run("crm-reader", "alice"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took > mintTimeout+20*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestRotatedSourceIsReadAgain(t *testing.T) {
	// The CI's or the platform's own token file is replaced while the gateway runs: an expired
	// source must not end it.
	google := startFakes(t)
	google.set(func() {
		google.sts = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"invalid_grant"}`, 400) }
	})
	b := newBroker(t, google.config())
	if _, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice")); err == nil {
		t.Fatal("minted without a source")
	}
	google.set(func() { google.sts = nil })
	if _, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice")); err != nil {
		t.Fatalf("the failure before is remembered: %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	google := startFakes(t)
	before := goleak.IgnoreCurrent()
	b, err := New(context.Background(), google.config())
	if err != nil {
		t.Fatal(err)
	}
	google.set(func() {
		google.answer = func(ctx context.Context, _ *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse,
			error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	done := make(chan error)
	go func() { _, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice")); done <- err }()
	for len(google.requests()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("a closed broker mints")
	}
	if _, err := b.Mint(context.Background(), decided(t), run("crm-reader", "alice")); err == nil {
		t.Error("a closed broker mints")
	}
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc.(*Server).handleRawConn.func1"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/transport.NewServerTransport.func1"))
}
