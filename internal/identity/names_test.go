package identity

import (
	"context"
	"strings"
	"testing"
)

// A42: each of these names reads like alice@corp.example, or would be put right to it, and is
// somebody else's.
var passesForAlice = map[string]string{
	"zero width space":           "alice\u200b@corp.example",
	"zero width joiner":          "al\u200dice@corp.example",
	"zero width non-joiner":      "al\u200cice@corp.example",
	"word joiner":                "alice@corp.exam\u2060ple",
	"byte order mark":            "\ufeffalice@corp.example",
	"soft hyphen":                "ali\u00adce@corp.example",
	"combining grapheme joiner":  "ali\u034fce@corp.example",
	"right-to-left mark":         "alice\u200f@corp.example",
	"right-to-left override":     "\u202eecila@corp.example",
	"variation selector":         "alice\ufe0f@corp.example",
	"tag character":              "alice\U000e0061@corp.example",
	"Hangul filler":              "alice\u3164@corp.example",
	"no-break space":             "alice\u00a0@corp.example",
	"trailing space":             "alice@corp.example ",
	"leading tab":                "\talice@corp.example",
	"line break":                 "alice@corp.example\n",
	"NUL":                        "alice\x00@corp.example",
	"trailing dot":               "alice@corp.example.",
	"leading dot":                ".alice@corp.example",
	"dot before the at":          "alice.@corp.example",
	"two dots":                   "alice@corp..example",
	"ideographic full stop":      "alice@corp\u3002example",
	"comment":                    "alice(me)@corp.example",
	"comment in the domain":      "alice@(x)corp.example",
	"quoted local part":          `"alice"@corp.example`,
	"quoted pair":                `al\ice@corp.example`,
	"display name":               "Alice <alice@corp.example>",
	"angle brackets":             "<alice@corp.example>",
	"two addresses":              "alice@corp.example,bob@corp.example",
	"two at signs":               "alice@corp.example@evil.example",
	"source route":               "@relay.example:alice@corp.example",
	"percent hack":               "alice%corp.example@relay.example",
	"percent encoding":           "alice%40corp.example@x",
	"bang path":                  "relay!alice@corp.example",
	"domain literal":             "alice@[127.0.0.1]",
	"no local part":              "@corp.example",
	"no domain":                  "alice@",
	"hyphen at a label's end":    "alice@corp-.example",
	"underscore in the domain":   "alice@corp_.example",
	"Cyrillic a":                 "\u0430lice@corp.example",
	"Cyrillic throughout":        "\u0430\u04cf\u0456\u0441\u0435@corp.example",
	"Greek o in the domain":      "alice@c\u03bfrp.example",
	"full-width letters":         "\uff41lice@corp.example",
	"mathematical letters":       "\U0001d41alice@corp.example",
	"Kelvin sign":                "ali\u212ae@corp.example",
	"dotless i":                  "al\u0131ce@corp.example",
	"long s":                     "ali\u017fe@corp.example",
	"ligature":                   "\ufb01nance@corp.example",
	"accent written apart":       "alice\u0301@corp.example",
	"full-width at":              "alice\uff20corp.example",
	"longer than any name":       strings.Repeat("a", 250) + "@corp.example",
	"a bot's brackets elsewhere": "alice[bot]@corp.example",
	"brackets of another kind":   "alice[human]",
	"a name of dots":             "..",
}

// Whichever claim brings such a name in, the token is refused, and the words say which claim and
// what would pass.
func TestNamesThatPassForAnother(t *testing.T) {
	bring := map[string]func(name string) (Issuer, claims){
		"sub": func(name string) (Issuer, claims) { return Issuer{}, claims{"sub": name, "email": nil} },
		"email": func(name string) (Issuer, claims) {
			return Issuer{}, claims{"sub": "7", "email": name, "email_verified": true}
		},
		"unverified email": func(name string) (Issuer, claims) {
			return Issuer{}, claims{"sub": "7", "email": name, "email_verified": false}
		},
		"a list of emails": func(name string) (Issuer, claims) {
			return Issuer{}, claims{"sub": "7", "email": []string{"a@corp.example", name}}
		},
		"preferred_username": func(name string) (Issuer, claims) { return Issuer{}, claims{"preferred_username": name} },
		"a configured claim": func(name string) (Issuer, claims) { return Issuer{People: []string{"upn"}}, claims{"upn": name} },
		"GitHub's actor":     func(name string) (Issuer, claims) { return Issuer{}, githubRun(claims{"actor": name}) },
		"GitLab's address":   func(name string) (Issuer, claims) { return Issuer{}, gitlabJob(claims{"user_email": name}) },
		"GitLab's login":     func(name string) (Issuer, claims) { return Issuer{}, gitlabJob(claims{"user_login": name}) },
	}
	for way, brought := range bring {
		for kind, name := range passesForAlice {
			t.Run(way+"/"+kind, func(t *testing.T) {
				issuer, changes := brought(name)
				subject, err := subjectOf(t, issuer, changes)
				wantCode(t, err, CodeClaims, 403, "")
				if subject.Sub != "" || len(subject.People) > 0 {
					t.Errorf("a refused token names %q", subject.People)
				}
				for _, r := range err.Error() {
					if r < ' ' || r > '~' {
						t.Fatalf("the refusal carries %U on: %s", r, err)
					}
				}
			})
		}
	}
	for kind, name := range passesForAlice {
		for way, people := range map[string]map[string]string{"from": {name: "alice@corp.example"}, "to": {"alice-gh": name}} {
			t.Run("the map, "+way+"/"+kind, func(t *testing.T) {
				config := Config{Issuers: []Issuer{{Name: "ci", URL: "https://ci.example", PeopleMap: people}}}
				if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "people_map") {
					t.Errorf("the map takes %+q: %v", name, err)
				}
			})
		}
	}
}

// A claim that should name people and is of another type is refused: left out, it would name too
// few.
func TestNamesOfAnotherType(t *testing.T) {
	for kind, value := range map[string]any{
		"object": claims{"alice@corp.example": true}, "true": true, "list with a number": []any{"alice@corp.example", 1},
		"list of lists": []any{[]any{"alice@corp.example"}},
	} {
		t.Run(kind, func(t *testing.T) {
			_, err := subjectOf(t, Issuer{}, claims{"email": value})
			wantCode(t, err, CodeClaims, 403, "")
		})
	}
}

// What people and machines are really called passes.
func TestNamesThatAreTaken(t *testing.T) {
	for _, name := range []string{
		"alice", "Alice", "a.smith", "a_smith", "a-smith", "alice+ci@corp.example", "ALICE@CORP.EXAMPLE", "a.b.c@sub.corp.example",
		"a@corp", "x@xn--bcher-kva.example", "00u1a2b3c4",
		"8f3c0a1e-5b7d-4a52-9c1e-0d5b7f2a9c11", "auth0|5f7c1e", "google-oauth2|1029384756", "https://idp.example/u/7", "f:3c2a:alice",
		"waad|x~y", "CgNhbGljZRIEbGRhcA==", "repo:acme/app:pull_request",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := subjectOf(t, Issuer{}, claims{"sub": name, "email": nil}); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

// An operator may allow names of other scripts, each in one.
func TestNamesInScripts(t *testing.T) {
	tests := []struct {
		kind    string
		scripts []string
		name    string
		want    string // "" is refused
	}{
		{"Cyrillic", []string{"Cyrillic"}, "\u0418\u0432\u0430\u043d@corp.example", "\u0438\u0432\u0430\u043d@corp.example"},
		{"Cyrillic with digits", []string{"Cyrillic"}, "\u0438\u0432\u0430\u043d.7", "\u0438\u0432\u0430\u043d.7"},
		{"ASCII beside it", []string{"Cyrillic"}, "Ivan@corp.example", "ivan@corp.example"},
		{"Latin with an umlaut", []string{"Latin"}, "J\u00fcrgen@corp.example", "j\u00fcrgen@corp.example"},
		{"the same, written apart", []string{"Latin"}, "Ju\u0308rgen@corp.example", "j\u00fcrgen@corp.example"},
		{"a domain as people read it", []string{"Latin"}, "x@B\u00fccher.example", "x@xn--bcher-kva.example"},
		{"Devanagari with vowel signs", []string{"Devanagari"}, "\u0930\u093e\u092e", "\u0930\u093e\u092e"},
		{"a script that is not allowed", []string{"Latin"}, "\u0438\u0432\u0430\u043d@corp.example", ""},
		{"mixed scripts, both allowed", []string{"Cyrillic", "Latin"}, "\u0438van@corp.example", ""},
		{"Cyrillic and one ASCII letter", []string{"Cyrillic"}, "\u0438\u0432a\u043d", ""},
		{"zero width joiner between letters that join", []string{"Devanagari"}, "\u0915\u094d\u200d\u0937", ""},
		{"soft hyphen", []string{"Cyrillic"}, "\u0438\u00ad\u0432", ""},
		{"digits of another script", []string{"Arabic"}, "\u0627\u0660", ""},
		{"a mark of any script", []string{"Latin"}, "x\u0301lice", ""},
		{"trailing dot", []string{"Cyrillic"}, "\u0438\u0432.", ""},
		{"trailing dot of the domain", []string{"Cyrillic"}, "\u0438\u0432@corp.example.", ""},
		{"space", []string{"Cyrillic"}, "\u0438 \u0432", ""},
		{"comment", []string{"Cyrillic"}, "\u0438(x)@corp.example", ""},
		{"two at signs", []string{"Cyrillic"}, "\u0438@a@b", ""},
		{"hidden in the domain", []string{"Cyrillic"}, "\u0438@co\u200brp.example", ""},
		{"full-width letters", []string{"Latin"}, "\uff41lice@corp.example", ""},
		{"a letter that is ASCII in lower case", []string{"Latin"}, "ali\u212ae@corp.example", ""},
		{"half-width letters", []string{"Katakana"}, "\uff71", ""},
		{"an emoji", []string{"Latin"}, "\U0001f600", ""},
	}
	for _, test := range tests {
		t.Run(test.kind, func(t *testing.T) {
			subject, err := subjectOf(t, Issuer{NameScripts: test.scripts}, claims{"sub": test.name, "email": nil})
			if test.want == "" {
				wantCode(t, err, CodeClaims, 403, "")
				return
			}
			if err != nil || len(subject.People) != 1 || subject.People[0] != test.want {
				t.Errorf("people %+q, %v; want %+q", subject.People, err, test.want)
			}
		})
	}
}

func TestSamePerson(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"alice@corp.example", "alice@corp.example", true},
		{"alice@corp.example", "bob@corp.example", false},
		{"cop@corp.example", "\u0441\u043e\u0440@corp.example", true}, // Cyrillic throughout
		{"a@corp.example", "a@xn--crp-sed.example", true},             // the o of the domain is Cyrillic
		{"a@corp.example", "a@xn--bcher-kva.example", false},
		{"\u0438\u0432\u0430\u043d", "\u0438\u0432\u0430\u043d\u0430", false},
		{"user1", "userl", false}, // ASCII names are taken letter by letter
		{"mike", "rnike", false},
	} {
		t.Run(test.a, func(t *testing.T) {
			if got := SamePerson(test.a, test.b); got != test.same {
				t.Errorf("SamePerson(%+q, %+q) = %t", test.a, test.b, got)
			}
			if got := SamePerson(test.b, test.a); got != test.same {
				t.Errorf("SamePerson(%+q, %+q) = %t", test.b, test.a, got)
			}
		})
	}
}

// One token opens one door: none that has two of the gateway's audiences opens either (A42, A7).
func TestAudiencesOfTwoDoors(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v, err := newVerifier(Config{Issuers: []Issuer{{Name: "okta", URL: issuer.URL}}, LoginAudience: "console-client"}, c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	doors := []string{"bqgate", "bqgate-console", "console-client"}
	for _, audience := range [][]string{
		{"bqgate", "bqgate-console"}, {"bqgate-console", "bqgate"}, {"bqgate", "console-client"}, {"bqgate-console", "console-client"},
		{"bqgate", "other", "bqgate-console", "console-client"},
	} {
		t.Run(strings.Join(audience, "+"), func(t *testing.T) {
			raw := issuer.mint(c.now(), claims{"aud": audience})
			for _, door := range doors {
				t.Run(door, func(t *testing.T) {
					_, err := v.Verify(context.Background(), raw, door)
					wantCode(t, err, CodeAudience, 403, raw)
				})
			}
		})
	}
	for _, door := range doors {
		t.Run(door, func(t *testing.T) {
			if _, err := v.Verify(context.Background(), issuer.mint(c.now(), claims{"aud": []string{"https://other.example", door}}),
				door); err != nil {
				t.Errorf("%s beside an audience that is none of ours: %v", door, err)
			}
		})
	}
}
