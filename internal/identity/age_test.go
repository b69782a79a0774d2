package identity

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// limit ends access so long after a token's iat.
func (g *gate) limit(d time.Duration) {
	g.sessions.Access = func(s Subject) (time.Time, bool) { return s.Issued.Add(d), d > 0 }
}

// What a client is told of a session, and what people see in a list, ends when access with its
// token does; nobody is told of the minute for clocks but who comes within it.
func TestASessionIsToldTheTokensAge(t *testing.T) {
	for name, c := range map[string]struct {
		age     time.Duration
		limit   time.Duration // 0: none
		seconds float64       // expires_in; 0 where the exchange is refused
	}{
		"new":                    {0, 5 * time.Minute, 300},
		"no limit":               {0, 0, 600},
		"a limit beyond exp":     {0, time.Hour, 600},
		"of some age":            {4 * time.Minute, 5 * time.Minute, 60},
		"iat in the future":      {-20 * time.Second, 5 * time.Minute, 320},
		"the last second":        {5*time.Minute - time.Second, 5 * time.Minute, 1},
		"as old as it may be":    {5 * time.Minute, 5 * time.Minute, 60},
		"within the minute":      {5*time.Minute + 30*time.Second, 5 * time.Minute, 30},
		"after the minute":       {6 * time.Minute, 5 * time.Minute, 0},
		"much too old":           {9 * time.Minute, time.Minute, 0},
		"older, without a limit": {9 * time.Minute, 0, 60},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, nil, func(t *testing.T, g *gate) {
				g.limit(c.limit)
				issued := g.clock.now().Add(-c.age)
				raw := g.issuer.mint(issued, claims{"iat": issued.Unix()})
				recorder := post(g.handler(t), TokenPath, stockForm(raw).Encode(), nil)
				var answer map[string]any
				if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
					t.Fatal(err)
				}
				if c.seconds == 0 {
					if says, _ := answer["error_description"].(string); recorder.Code != 400 || answer["error"] != "invalid_request" ||
						!strings.Contains(says, issued.UTC().Format(time.RFC3339)) || !strings.Contains(says, "request a new one") {
						t.Errorf("status %d %v", recorder.Code, answer)
					}
					return
				}
				if recorder.Code != 200 || answer["expires_in"] != c.seconds {
					t.Fatalf("status %d %v, want expires_in %v", recorder.Code, answer, c.seconds)
				}
				list, err := g.sessions.List(t.Context())
				if err != nil || len(list) != 1 {
					t.Fatal(list, err)
				}
				if told := list[0].Expiry.Sub(list[0].Created).Seconds(); told != c.seconds {
					t.Errorf("the list says %v s, the client was told %v", told, c.seconds)
				}
				subject, err := g.ask(answer["access_token"].(string))
				if err != nil || !subject.Issued.Equal(issued) {
					t.Errorf("the session's iat is %s, the token's %s (%v)", subject.Issued, issued, err)
				}
			})
		})
	}
}

// A session that is told a short life is banned for its whole one: whoever puts its record back
// into Redis opens nothing.
func TestAShortLifeIsBannedWhole(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		g.limit(2 * time.Minute) // the token is a minute old
		rings := 0
		g.sessions.Revoked = func() { rings++ }
		access, session := g.open(t, nil)
		if live, err := g.sessions.Live(t.Context(), session.ID); !live || err != nil {
			t.Fatal(live, err)
		}
		if session.Expiry.Sub(session.Created) != time.Minute || session.End().Sub(session.Created) != 10*time.Minute {
			t.Fatalf("told until %s, ends %s", session.Expiry, session.End())
		}
		record, err := g.redis.Get(t.Context(), sessionKey+session.ID).Result()
		if err != nil {
			t.Fatal(err)
		}
		if err := g.sessions.Revoke(t.Context(), session.ID); err != nil || rings != 1 {
			t.Fatalf("%v, told of it %d times", err, rings)
		}
		g.redis.Set(t.Context(), sessionKey+session.ID, record, time.Hour)
		g.clock.add(2 * time.Minute)
		for i := range 3000 { // old bans are swept away
			g.sessions.LearnRevoked(strings.Repeat("x", i+1), g.clock.now().Add(time.Hour))
		}
		if _, err := g.ask(access); err == nil {
			t.Error("a revoked session is good again")
		}
		if live, err := g.sessions.Live(t.Context(), session.ID); live || err != nil {
			t.Errorf("live %v, %v", live, err)
		}
	})
}

// Nobody says of a session that it is good when Redis does not answer.
func TestLiveWithoutRedis(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		_, session := g.open(t, nil)
		g.redis.Close()
		if live, err := g.sessions.Live(t.Context(), session.ID); live || err == nil || errors.Is(err, ErrUnknownSession) {
			t.Errorf("live %v, %v", live, err)
		}
	})
}
