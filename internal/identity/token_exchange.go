package identity

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sessionstore"
)

var (
	errTooMany = errors.New("subject token has opened as many sessions as one may")
	errTooOld  = errors.New("subject token is older than the policy lets it be")
	errEnding  = errors.New("subject token is over")
	errRevoked = errors.New("a session of the subject token was revoked")

	errSubjectOver = errors.New("the subject was revoked after the token was issued")
)

const (
	subjectTokenKey     = "bqgate:subject-token:" //nolint:gosec // G101: a prefix of keys in Redis
	subjectTokenPurpose = "redis/subject-token/v1/"

	// renewWithin is how much of a session must be left for it to be given again where the token
	// could open one that lasts longer. Stock clients ask for a new token when theirs has up to 225
	// s left (google-auth's REFRESH_THRESHOLD).
	renewWithin = 5 * time.Minute
)

// A subject token that is presented again gets the live session that it opened before. A client
// asks for a token whenever its own has a few minutes left, so near the end of the subject token it
// exchanges before every request; each of those must not be another session.
//
// The session's token is not stored for that, not even sealed: it is made again. It is a MAC over
// the subject token, who that token stands for, and when the session was opened. What Redis holds
// is that time, sealed, under a keyed digest of the subject token. Who reads Redis learns neither
// token, and with the gateway's sealing secret in hand still needs the subject token itself, with
// which a session can be had anyway.

// opening is what Redis holds of a subject token, sealed.
type opening struct {
	Created time.Time `json:"created"` // when the newest session was opened
	Count   int       `json:"count"`   // of the sessions that the token has opened (A23)
	Revoked bool      `json:"revoked,omitempty"`
}

// exchanged is the outcome of an exchange.
type exchanged struct {
	access  string // the session's token
	session Session
	again   bool          // the session was open before
	left    time.Duration // until access with the session ends
}

// swap sets a key unless it has changed since it was read ("" where it was not there).
var swap = redis.NewScript(`
local held = redis.call('GET', KEYS[1])
if (held or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

// TokenDigest tells one OIDC token from another where the token itself must not stand. It is keyed,
// so that nobody can try guesses, and it is of the signed part alone: whoever holds an ECDSA
// signature can write it in a second way that is as valid.
func (s *Sessions) TokenDigest(subjectToken string) string {
	sum := s.keys.Name("subject token", signed(subjectToken))
	return hex.EncodeToString(sum[:])
}

// signed is the JWS signing input (RFC 7515 section 5.1).
func signed(token string) string { return token[:max(0, strings.LastIndexByte(token, '.'))] }

// exchange gives a session for a subject whose token was verified: the one that the token opened
// before, while it lives, or a new one. However many ask at the same time, and at whichever
// replica, they get the same one.
func (s *Sessions) exchange(ctx context.Context, subject Subject, subjectToken string) (exchanged, error) {
	now := s.now()
	left := subject.Expiry.Sub(now)
	if left < time.Second {
		return exchanged{}, errEnding
	}
	if s.Access != nil {
		if until, limited := s.Access(subject); limited && until.Add(ClockSkew).Sub(now) < time.Second {
			return exchanged{}, errTooOld
		}
	}
	subject.Token, subject.Session = s.TokenDigest(subjectToken), ""
	s.revoked.saw(subject.Issuer, subject.Issued, now)
	if err := s.learnMark(ctx, subject); err != nil {
		return exchanged{}, err
	}
	if err := s.good(subject); err != nil {
		return exchanged{}, err
	}
	for range 10 { // each turn but the first, another exchange of this token was quicker
		held, text, err := s.opening(ctx, subject.Token)
		switch {
		case err != nil:
			return exchanged{}, err
		case held.Revoked:
			return exchanged{}, errRevoked
		case s.lasts(held, subject, now):
			return s.open(ctx, held, subject, subjectToken)
		case held.Count >= s.perToken:
			return exchanged{}, errTooMany
		}
		next := opening{Created: now.UTC(), Count: held.Count + 1}
		won, err := s.setOpening(ctx, subject.Token, text, next, left)
		if err != nil {
			return exchanged{}, err
		}
		if won {
			return s.open(ctx, next, subject, subjectToken)
		}
	}
	return exchanged{}, errors.New("open session: the entry of the subject token in Redis changes all the time")
}

// ends is when a session ends that was opened then.
func (s *Sessions) ends(created time.Time, subject Subject) time.Time {
	if end := created.Add(s.max); end.Before(subject.Expiry) {
		return end
	}
	return subject.Expiry
}

// lasts says whether the session that was opened is to be given again. One that is about to end is
// not, where the token may open another one that ends later.
func (s *Sessions) lasts(held opening, subject Subject, now time.Time) bool {
	if held.Created.IsZero() {
		return false
	}
	end := s.ends(held.Created, subject)
	if end.Equal(subject.Expiry) || held.Count >= s.perToken {
		return end.Sub(now) >= time.Second
	}
	return end.Sub(now) >= min(renewWithin, s.max/2)
}

// open gives the session that was opened then, and writes its record unless it is there. What is
// written is the same whoever writes it.
func (s *Sessions) open(ctx context.Context, held opening, subject Subject, subjectToken string) (exchanged, error) {
	access, err := s.accessToken(held.Created, subject, subjectToken)
	if err != nil {
		return exchanged{}, err
	}
	id := sessionstore.ID(access)
	subject.Session = id
	r := record{ID: id, Subject: subject, Created: held.Created, Expiry: s.ends(held.Created, subject)}
	out := exchanged{access: access, session: s.session(r)}
	now := s.now()
	told := r
	told.Created = now // access may end within the minute that only who comes within it is told of
	out.left = s.session(told).Expiry.Sub(now)
	_, err = s.store.Get(ctx, id)
	switch {
	case err == nil:
		out.again = true
		err = s.givenAgain(ctx)
	case errors.Is(err, ErrUnknownSession):
		err = s.write(ctx, r)
	}
	if err != nil {
		return exchanged{}, err
	}
	if s.Banned(id) {
		return exchanged{}, errRevoked
	}
	if err := s.good(subject); err != nil {
		return exchanged{}, err
	}
	return out, nil
}

// good says that neither a token nor its subject was revoked.
func (s *Sessions) good(subject Subject) error {
	switch {
	case s.Banned(subject.Token):
		return errRevoked
	case s.Over(subject):
		return errSubjectOver
	}
	return nil
}

// write writes a session's record. A revocation marks the token's entry first and then deletes the
// record. So the entry is read again after writing: without a mark the deletion is still to come,
// with one the record is deleted here.
func (s *Sessions) write(ctx context.Context, r record) error {
	life := r.Expiry.Sub(s.now()).Truncate(time.Millisecond)
	if life <= 0 {
		return errEnding
	}
	w, err := s.opened(ctx, r)
	if err != nil {
		return err
	}
	if err := s.put(ctx, w, r, life); err != nil {
		return err
	}
	held, _, err := s.opening(ctx, r.Subject.Token)
	if err == nil && held.Revoked {
		err = errRevoked
	}
	if err != nil {
		_, removeErr := s.store.Remove(context.WithoutCancel(ctx), r.ID)
		return errors.Join(err, removeErr)
	}
	return nil
}

var errNoJournal = errors.New("open session: there is no journal to record it in")

// opened records that a session is about to be opened.
func (s *Sessions) opened(ctx context.Context, r record) (durable.Opened, error) {
	if s.Journal == nil {
		return nil, errNoJournal
	}
	w, err := s.Journal.SessionOpened(ctx, s.session(r), r.Subject)
	if err != nil {
		return nil, fmt.Errorf("record session: %w", err)
	}
	return w, nil
}

// put makes a session good, once its record is durable (invariant I1).
func (s *Sessions) put(ctx context.Context, w durable.Opened, r record, life time.Duration) error {
	if durable.Because(w) != r.ID {
		return errors.New("open session: another one was recorded")
	}
	return s.store.Put(ctx, r.ID, r, life)
}

// givenAgain says whether a session that is recorded may be given to its client once more.
func (s *Sessions) givenAgain(ctx context.Context) error {
	if s.Journal == nil {
		return errNoJournal
	}
	w, err := s.Journal.SessionGivenAgain(ctx)
	if err != nil {
		return fmt.Errorf("give the session again: %w", err)
	}
	durable.Because(w)
	return nil
}

// accessToken makes the token of a session. The reading of the subject token is in it, so that who
// is verified otherwise since, by another configuration, gets another session.
func (s *Sessions) accessToken(created time.Time, subject Subject, subjectToken string) (string, error) {
	reading, err := json.Marshal(subject)
	if err != nil {
		return "", fmt.Errorf("make session token: %w", err)
	}
	sum := s.keys.Name("session token", signed(subjectToken), string(reading), strconv.FormatInt(created.UnixNano(), 10))
	return SessionPrefix + base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// opening reads what is known of a subject token, and the text that says it. An entry that was not
// written here says nothing, and is written over.
func (s *Sessions) opening(ctx context.Context, token string) (held opening, text string, err error) {
	key := subjectTokenKey + token
	text, err = sessionstore.ReadText(ctx, s.redis, key)
	switch {
	case errors.Is(err, redis.Nil):
		return opening{}, "", nil
	case errors.Is(err, sealed.ErrForged):
		s.log.Error("entry of a subject token in Redis was not written by this gateway", "token", token, "error", err)
		if err := s.redis.Del(ctx, key).Err(); err != nil {
			return opening{}, "", fmt.Errorf("remove the entry of a subject token from Redis: %w", err)
		}
		return opening{}, "", nil
	case err != nil:
		return opening{}, "", fmt.Errorf("read the entry of a subject token from Redis: %w", err)
	}
	if err := s.keys.Open(subjectTokenPurpose+token, text, &held); err != nil {
		s.log.Error("entry of a subject token in Redis "+sealed.Found(err), "token", token, "error", err)
		return opening{}, text, nil
	}
	return held, text, nil
}

func (s *Sessions) setOpening(ctx context.Context, token, before string, next opening, life time.Duration) (won bool, err error) {
	text, err := s.keys.Seal(subjectTokenPurpose+token, next)
	if err != nil {
		return false, err
	}
	n, err := swap.Run(ctx, s.redis, []string{subjectTokenKey + token}, before, text, life.Milliseconds()+1).Int()
	if err != nil {
		return false, fmt.Errorf("write the entry of a subject token to Redis: %w", err)
	}
	return n == 1, nil
}

// revokeToken marks the token that opened a session, so that it opens none at any replica.
func (s *Sessions) revokeToken(ctx context.Context, session Session) error {
	left := session.TokenEnds.Sub(s.now())
	if session.Token == "" || left <= 0 {
		return nil
	}
	text, err := s.keys.Seal(subjectTokenPurpose+session.Token, opening{Revoked: true})
	if err != nil {
		return err
	}
	if err := s.redis.Set(ctx, subjectTokenKey+session.Token, text, left+time.Millisecond).Err(); err != nil {
		return fmt.Errorf("revoke the token of session %s in Redis: %w", session.ID, err)
	}
	return nil
}
