package identity

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/refusal"
)

// Names of RFC 8693.
//
//nolint:gosec // G101: names and no credentials
const (
	grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken    = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT            = "urn:ietf:params:oauth:token-type:jwt"
	typeIDToken        = "urn:ietf:params:oauth:token-type:id_token"
)

// TokenPath is where the token endpoint answers, as at Google's STS.
const TokenPath = "/v1/token"

const maxForm = 64 << 10 // bytes; a token of 16 KiB may arrive percent-encoded

// tokenEndpoint is the RFC 8693 token exchange that stock Google clients call with an
// `external_account` credentials file: an OIDC token becomes a gateway session.
type tokenEndpoint struct {
	verifier *Verifier
	sessions *Sessions
	limits   *limits.Owners
	log      *slog.Logger
}

// TokenHandler makes the token endpoint. It answers POST /v1/token and nothing else. owners bound
// the exchanges of each; nil bounds none.
func TokenHandler(verifier *Verifier, sessions *Sessions, owners *limits.Owners, log *slog.Logger) (http.Handler, error) {
	if verifier == nil || sessions == nil || log == nil {
		return nil, errors.New("token endpoint needs a verifier, sessions and a logger")
	}
	return &tokenEndpoint{verifier: verifier, sessions: sessions, limits: owners, log: log}, nil
}

// oauth is an error answer of RFC 6749 section 5.2.
func oauth(status int, code, description string) *refusal.Refusal {
	return &refusal.Refusal{Status: status, Reason: code, What: description}
}

func badRequest(description string) *refusal.Refusal {
	return oauth(http.StatusBadRequest, "invalid_request", description)
}

func unavailable(description string, cause error) *refusal.Refusal {
	r := oauth(http.StatusServiceUnavailable, "temporarily_unavailable", description)
	r.Err = cause
	return r
}

type tokenAnswer struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
}

func (e *tokenEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, refused := e.exchange(w, r)
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store") // RFC 6749 section 5.1
	header.Set("Pragma", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	var err error
	if refused != nil {
		err = refused.OAuth(w)
	} else {
		err = json.NewEncoder(w).Encode(answer) //nolint:gosec // G117: the client's own session is what it asked for
	}
	if err != nil {
		e.log.Info("token answer not delivered", "error", err)
	}
}

func (e *tokenEndpoint) exchange(w http.ResponseWriter, r *http.Request) (*tokenAnswer, *refusal.Refusal) {
	form, refused := readForm(w, r)
	if refused != nil {
		return nil, refused
	}
	if refused := checkForm(form); refused != nil {
		return nil, refused
	}
	raw := strings.TrimSpace(form.Get("subject_token")) // a token file often ends with a newline, and Python sends the file as it is
	subject, err := e.verifier.Verify(r.Context(), raw, e.verifier.config.Audience)
	if err != nil {
		return nil, e.refusal(err)
	}
	// What costs Redis and the journal is counted of whoever the token stands for, and what is
	// malformed, or signed by nobody, was refused before: it takes from nobody's budget.
	if err := e.limits.Spend(subject.Budget, limits.TokenExchanges, 1); err != nil {
		e.log.Warn("no session beyond the limit of exchanges", "subject", subject)
		r := oauth(http.StatusTooManyRequests, "temporarily_unavailable", err.Error())
		if over, ok := errors.AsType[*limits.Exceeded](err); ok {
			r.Wait = over.Wait
		}
		return nil, r
	}
	out, err := e.sessions.exchange(r.Context(), subject, raw)
	if err != nil {
		return nil, e.notOpened(subject, err)
	}
	did := "session opened"
	if out.again {
		did = "session given again"
	}
	e.log.Info(did, "session", out.session.ID, "subject", subject, "expiry", out.session.Expiry)
	return &tokenAnswer{AccessToken: out.access, IssuedTokenType: typeAccessToken, TokenType: "Bearer",
		ExpiresIn: int64(out.left.Seconds())}, nil
}

// notOpened says why a verified subject token got no session.
func (e *tokenEndpoint) notOpened(subject Subject, err error) *refusal.Refusal {
	for known, says := range map[error]string{
		errTooMany:     "the subject_token has opened too many sessions; request a new one from your identity provider",
		errRevoked:     "a session of the subject_token was revoked, and the token with it; request a new one from your identity provider",
		errSubjectOver: e.sessions.revokedAt(subject),
		errEnding: "the subject_token expires at " + subject.Expiry.Format(time.RFC3339) +
			"; request a new one from your identity provider",
		errTooOld: "the subject_token was issued at " + subject.Issued.Format(time.RFC3339) +
			", and the policy lets it be used no longer (`for`, counted from iat); request a new one from your identity provider",
	} {
		if errors.Is(err, known) {
			e.log.Warn("no session for a subject token", "subject", subject, "cause", known)
			return badRequest(says)
		}
	}
	e.log.Error("session not opened", "subject", subject, "error", err)
	return unavailable("no session can be opened now; try again in a moment", err)
}

// refusal turns a refused subject token into invalid_request, which RFC 8693 section 2.2.2 demands.
func (e *tokenEndpoint) refusal(err error) *refusal.Refusal {
	var identity *Error
	if !errors.As(err, &identity) {
		e.log.Error("subject token not verified", "error", err)
		return unavailable("the subject_token cannot be verified now; try again in a moment", err)
	}
	e.log.Info("subject token refused", "code", string(identity.Code), "error", identity.Err)
	if identity.Code == CodeUnavailable {
		return unavailable(identity.Message, identity)
	}
	return badRequest("subject_token: " + identity.Message)
}

// readForm reads the request strictly: one way to send each parameter, and none that ends in a
// server's access log.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *refusal.Refusal) {
	switch {
	case r.URL.Path != TokenPath:
		return nil, oauth(http.StatusNotFound, "invalid_request", "only POST "+TokenPath+" is served here")
	case r.Method != http.MethodPost:
		r := oauth(http.StatusMethodNotAllowed, "invalid_request", "send POST")
		r.Allow = http.MethodPost
		return nil, r
	case r.URL.RawQuery != "" || r.URL.ForceQuery:
		return nil, badRequest("parameters belong into the body, not into the URL")
	case len(r.Header.Values("Authorization")) > 0:
		return nil, badRequest("clients do not authenticate here; leave client_id and client_secret out of the credentials file")
	case r.Header.Get("Content-Encoding") != "":
		return nil, badRequest("send the body without Content-Encoding")
	}
	types := r.Header.Values("Content-Type")
	if len(types) != 1 {
		return nil, badRequest("send one Content-Type: application/x-www-form-urlencoded")
	}
	if kind, _, err := mime.ParseMediaType(types[0]); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, badRequest("send Content-Type: application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, oauth(http.StatusRequestEntityTooLarge, "invalid_request", "the body is longer than 64 KiB")
		}
		return nil, badRequest("the body could not be read")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, badRequest("the body is not form-encoded")
	}
	return form, nil
}

// checkForm accepts what stock clients send. Audience and scope are theirs to choose and give
// nothing here: a session is always for this gateway, and what it may do is decided at each query.
func checkForm(form url.Values) *refusal.Refusal {
	for name, values := range form {
		switch name {
		case "grant_type", "subject_token", "subject_token_type", "requested_token_type", "audience", "scope":
		case "actor_token", "actor_token_type":
			return badRequest("delegation (actor_token) is not supported; send the subject_token alone")
		case "resource":
			return oauth(http.StatusBadRequest, "invalid_target", "resource is not supported; leave it out")
		default:
			return badRequest("parameter " + quote(name) + " is not understood; leave it out")
		}
		// RFC 8693 allows several audiences; which of two other values counts must never be a
		// question.
		if len(values) > 1 && name != "audience" {
			return badRequest("parameter " + name + " is given twice")
		}
	}
	if grant := form.Get("grant_type"); grant != grantTokenExchange {
		return oauth(http.StatusBadRequest, "unsupported_grant_type", "grant_type must be "+grantTokenExchange)
	}
	if kind := form.Get("subject_token_type"); kind != typeJWT && kind != typeIDToken {
		return badRequest("subject_token_type must be " + typeJWT + " or " + typeIDToken)
	}
	if kind := form.Get("requested_token_type"); kind != "" && kind != typeAccessToken {
		return badRequest("requested_token_type must be " + typeAccessToken + " or left out")
	}
	if form.Get("subject_token") == "" {
		return badRequest("subject_token is missing; send the OIDC token of your identity provider")
	}
	return nil
}
