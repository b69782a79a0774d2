package identity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sessionstore"
)

// A subject is revoked as of an instant: every token of it that was issued up to then is over,
// whether it was seen before or not, raw or exchanged (A51). Until the last of them could have
// expired every replica remembers that, by the journal and by what replicas tell each other. What
// Redis holds of it beside that is for lists, and for who exchanges a token before its replica has
// heard.

const (
	revokedSubjectKey     = "bqgate:revoked-subject:"
	revokedSubjectPurpose = "redis/revoked-subject/v1/"
)

// Revocation is the end of everything of one subject.
type Revocation struct {
	Issuer  string `json:"issuer"`  // its URL
	Subject string `json:"subject"` // the tokens' sub
	// At is when it was revoked. Tokens issued (iat) up to then are over: see Sessions.Ends.
	At time.Time `json:"revoked"`
	// Until is when the last of these tokens could have expired: nothing needs to be known of the
	// revocation any more.
	Until  time.Time `json:"until"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Key names the subject: SubjectKey.
func (r Revocation) Key() string { return SubjectKey(r.Issuer, r.Subject) }

// SubjectKey names a subject of an issuer as one text that no other subject has. The Owner of each
// of its subjects begins with it.
func SubjectKey(issuer, sub string) string { return issuer + "#sub=" + url.QueryEscape(sub) }

// SubjectOf is the SubjectKey of whoever an Owner is of.
func SubjectOf(owner string) string {
	issuer, claims, _ := strings.Cut(owner, "#")
	sub, _, _ := strings.Cut(claims, "&") // a value has none: it is escaped
	return issuer + "#" + sub
}

// cut remembers a revocation, and says whether it is news.
func (r *revoked) cut(c Revocation, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, c := range r.subjects {
		if now.After(c.Until) {
			delete(r.subjects, key)
		}
	}
	r.begin(now)
	has := r.subjects[c.Key()]
	if !c.At.After(has.At) || now.After(c.Until) {
		return false
	}
	if r.subjects == nil {
		r.subjects = make(map[string]Revocation)
	}
	if has.Until.After(c.Until) {
		c.Until = has.Until
	}
	r.subjects[c.Key()] = c
	return true
}

// Cutoff is the latest `iat` that a token of before the revocation may have: as much later as an
// issuer's clock may be ahead.
func (r Revocation) Cutoff() time.Time { return r.At.Add(leeway) }

// cutoff is as of when a subject is revoked, by the clock of its issuer.
func (r *revoked) cutoff(issuer, sub string) (at time.Time, revoked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.subjects[SubjectKey(issuer, sub)]
	return r.byIssuersClock(c), ok
}

// byIssuersClock is when a revocation was by the clock of its issuer: as far ahead as was seen, or,
// where this process has begun only afterwards and may have forgotten what was seen, as it may be.
func (r *revoked) byIssuersClock(c Revocation) time.Time {
	if r.began.After(c.At) {
		return c.Cutoff()
	}
	return c.At.Add(r.ahead[c.Issuer])
}

// saw notes how far the clock of a token's issuer is ahead of the gateway's, as far as the token
// shows it: one that was issued later than it is now. So no token that was seen here before its
// subject was revoked passes for one that was issued after it.
func (r *revoked) saw(issuer string, issued, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(now)
	if d := min(issued.Sub(now), leeway); d > r.ahead[issuer] {
		if r.ahead == nil {
			r.ahead = make(map[string]time.Duration)
		}
		r.ahead[issuer] = d
	}
}

// begin notes when this process first looked at a token or at a revocation.
func (r *revoked) begin(now time.Time) {
	if r.began.IsZero() {
		r.began = now
	}
}

// Over says whether a subject was revoked after its token was issued. A token that does not say
// when it was issued is over.
func (s *Sessions) Over(subject Subject) bool {
	at, revoked := s.revoked.cutoff(subject.Issuer, subject.Sub)
	return revoked && !subject.Issued.After(at)
}

// Ends says whether a revocation ends what was asked for with a token of the subject that was
// issued then.
func (s *Sessions) Ends(r Revocation, issued time.Time) bool {
	s.revoked.mu.Lock()
	defer s.revoked.mu.Unlock()
	return !issued.After(s.revoked.byIssuersClock(r))
}

// revokedAt are the words for the client of a subject that is over.
func (s *Sessions) revokedAt(subject Subject) string {
	at, _ := s.revoked.cutoff(subject.Issuer, subject.Sub)
	return fmt.Sprintf("every token of this subject that was issued until %s is revoked; request a new one from your identity provider",
		at.UTC().Format(time.RFC3339))
}

// Revocation makes the revocation of a subject as of an instant.
func (s *Sessions) Revocation(issuer, sub string, at time.Time) Revocation {
	at = at.UTC().Truncate(time.Millisecond)
	return Revocation{Issuer: issuer, Subject: sub, At: at, Until: at.Add(leeway + s.tokenAge)}
}

// LearnSubject takes the revocation of a subject from the journal or from what another replica
// tells. What the journal says must be learnt before anything is served.
func (s *Sessions) LearnSubject(r Revocation) {
	if !s.revoked.cut(r, s.now()) {
		return
	}
	if s.Revoked != nil {
		s.Revoked()
	}
	select {
	case s.Told <- struct{}{}: // nil where nobody wants to know
	default:
	}
}

// ParseSubjectKey reverses SubjectKey.
func ParseSubjectKey(key string) (issuer, sub string, err error) {
	issuer, escaped, _ := strings.Cut(key, "#sub=")
	sub, err = url.QueryUnescape(escaped)
	if err == nil && SubjectKey(issuer, sub) != key {
		err = fmt.Errorf("%q names no subject", key)
	}
	return issuer, sub, err
}

// Revocations are those of subjects that are in force here. Who revoked, and why, is known of those
// that the journal told.
func (s *Sessions) Revocations() []Revocation {
	s.revoked.mu.Lock()
	defer s.revoked.mu.Unlock()
	var all []Revocation
	for _, r := range s.revoked.subjects {
		if s.now().Before(r.Until) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Revocation) int { return a.At.Compare(b.At) })
	return all
}

// Mark writes a revocation into Redis: each exchange reads it there, and ListRevoked shows it. It
// says nothing that is not in force already.
func (s *Sessions) Mark(ctx context.Context, r Revocation) error {
	left := r.Until.Sub(s.now())
	if left <= 0 {
		return nil
	}
	id := s.revokedID(r.Key())
	text, err := s.keys.Seal(revokedSubjectPurpose+id, r)
	if err != nil {
		return err
	}
	if err := s.redis.Set(ctx, revokedSubjectKey+id, text, left+time.Millisecond).Err(); err != nil {
		return fmt.Errorf("write the revocation of a subject to Redis: %w", err)
	}
	return nil
}

// revokedID hides who was revoked from readers of Redis.
func (s *Sessions) revokedID(key string) string {
	sum := s.keys.Name("revoked subject", key)
	return hex.EncodeToString(sum[:])
}

// Marked is what Redis holds of a revocation: who revoked, and why. It is the zero Revocation where
// that is lost, or of another time.
func (s *Sessions) Marked(ctx context.Context, r Revocation) Revocation {
	m, err := s.marked(ctx, s.revokedID(r.Key()))
	if err != nil || !m.At.Equal(r.At) {
		return Revocation{}
	}
	return m
}

// learnMark takes a revocation of a subject from Redis, if there is one: replicas tell each other,
// and this is for the moment until they have.
func (s *Sessions) learnMark(ctx context.Context, subject Subject) error {
	r, err := s.marked(ctx, s.revokedID(SubjectKey(subject.Issuer, subject.Sub)))
	switch {
	case err == nil:
		s.LearnSubject(r)
	case !errors.Is(err, redis.Nil) && !errors.Is(err, sealed.ErrForged): // a forged one says nothing
		return fmt.Errorf("read from Redis whether the subject is revoked: %w", err)
	}
	return nil
}

func (s *Sessions) marked(ctx context.Context, id string) (r Revocation, err error) {
	text, err := sessionstore.ReadText(ctx, s.redis, revokedSubjectKey+id)
	if err != nil {
		return r, err
	}
	if err := s.keys.Open(revokedSubjectPurpose+id, text, &r); err != nil {
		return Revocation{}, err
	}
	return r, nil
}

// ListRevoked returns the subjects that are revoked, as Redis shows it, the latest first.
func (s *Sessions) ListRevoked(ctx context.Context) ([]Revocation, error) {
	ids, err := sessionstore.IDs(ctx, s.redis, revokedSubjectKey)
	if err != nil {
		return nil, fmt.Errorf("list the revoked subjects in Redis: %w", err)
	}
	var all []Revocation
	for id := range ids {
		r, err := s.marked(ctx, id)
		switch {
		case err == nil && s.now().Before(r.Until):
			all = append(all, r)
		case err == nil, errors.Is(err, redis.Nil):
		case errors.Is(err, sealed.ErrForged):
			s.log.Error("entry of a revoked subject in Redis was not written by this gateway", "entry", id, "error", err)
		default:
			return nil, fmt.Errorf("list the revoked subjects in Redis: %w", err)
		}
	}
	slices.SortFunc(all, func(a, b Revocation) int { return b.At.Compare(a.At) })
	return all, nil
}

// LogValue names whom it is of.
func (r Revocation) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", r.Issuer), slog.String("sub", r.Subject), slog.Time("at", r.At))
}
