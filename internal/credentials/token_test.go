package credentials

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func TestTokenIsUnprintable(t *testing.T) {
	const secret = "ya29.very-secret"
	token := newToken("crm-reader", secret, time.Now().Add(time.Minute))
	if token.Bearer() != secret {
		t.Fatal("Bearer does not give the token")
	}
	if (Token{}).Bearer() != "" {
		t.Fatal("the zero Token gives something")
	}
	type holder struct {
		Token  Token
		hidden Token
		Any    any
	}
	held := holder{token, token, token}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%T %v", "%p"} {
		args := []any{token, &token, held, &held, []Token{token}, map[string]Token{"a": token}}
		for _, arg := range args {
			if verb == "%T %v" {
				printed = append(printed, fmt.Sprintf(verb, arg, arg))
				continue
			}
			printed = append(printed, fmt.Sprintf(verb, arg))
		}
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(map[string]any{"token": token, "pointer": &token})
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(text))
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("minted", "token", token, "pointer", &token, "held", held, "list", []Token{token})
	}
	printed = append(printed, log.String(), fmt.Sprint(errors.Join(fmt.Errorf("with %v", token))))
	for _, text := range printed {
		// As text, as hexadecimal and as a list of byte values.
		for _, form := range []string{secret, "very-secret", fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret),
			fmt.Sprint([]byte(secret))} { //nolint:staticcheck // QF1010: as numbers
			t.Run(form, func(t *testing.T) {
				if strings.Contains(text, form) {
					t.Errorf("printed: %s", text)
				}
			})
		}
	}
	if got := fmt.Sprintf("%v|%+v|%#v|%s|%d", token, token, token, token, token); got != strings.Repeat("|REDACTED", 5)[1:] {
		t.Errorf("printed %s", got)
	}
}
