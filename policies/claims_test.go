package policies

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/identity"
)

// answer is yes, no, or "?" and why nobody can say.
func answer(t *testing.T, when, claims string) string {
	t.Helper()
	env, err := groupEnv()
	if err != nil {
		t.Fatal(err)
	}
	c, err := compile(env, when)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	var has map[string]any
	if err := json.Unmarshal([]byte(claims), &has); err != nil {
		t.Fatal(err)
	}
	values := subjectValues(identity.Subject{})
	values[claimsName] = has
	yes, err := c.eval(values)
	switch {
	case err != nil:
		return "? " + whyUnknown(err)
	case yes:
		return "yes"
	default:
		return "no"
	}
}

// A59: what a condition takes a claim for, and what the token has in its place. Each form of a
// condition meets each form of a claim; only the type that the condition takes it for gives an
// answer.
func TestClaimsAreTyped(t *testing.T) {
	forms := map[string]string{
		"text": `"x"`, "other text": `"y"`, "empty text": `""`, "number": `1`, "true": `true`, "null": `null`, "list": `["x"]`,
		"other list": `["y"]`, "empty list": `[]`,
		"list with a number": `["x", 1]`, "list of lists": `[["x"]]`, "list with null": `["x", null]`,
		"object with the key": `{"x": false}`, "object": `{"b": "x"}`, "nested object": `{"b": {"x": 1}}`,
	}
	tests := []struct {
		when string
		want map[string]string // by form; what is left out is unknown
	}{
		{`claims.a == "x"`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`claims.a != "x"`, map[string]string{"text": "no", "other text": "yes", "empty text": "yes"}},
		{`"x" == claims.a`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`!("x" != claims["a"])`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`claims.a in ["x", "z"]`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`!(claims.a in ["x", "z"])`, map[string]string{"text": "no", "other text": "yes", "empty text": "yes"}},
		{`claims.a in {"x": true}`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`claims.a.startsWith("x")`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`!claims.a.endsWith("x")`, map[string]string{"text": "no", "other text": "yes", "empty text": "yes"}},
		{`claims.a.contains("x")`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`!claims.a.matches("^x$")`, map[string]string{"text": "no", "other text": "yes", "empty text": "yes"}},
		{`claims.a + "" == "x"`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`(true ? claims.a : "y") != "x"`, map[string]string{"text": "no", "other text": "yes", "empty text": "yes"}},
		{`dyn(claims.a) != "x"`, map[string]string{"text": "no", "other text": "yes", "empty text": "yes"}},
		{`"x" in claims.a`, map[string]string{"list": "yes", "other list": "no", "empty list": "no"}},
		{`!("x" in claims.a)`, map[string]string{"list": "no", "other list": "yes", "empty list": "yes"}},
		{`claims.a.exists(g, g == "x")`, map[string]string{"list": "yes", "other list": "no", "empty list": "no"}},
		{`!claims.a.exists(g, g == "x")`, map[string]string{"list": "no", "other list": "yes", "empty list": "yes"}},
		{`claims.a.exists(g, g.startsWith("x"))`, map[string]string{"list": "yes", "other list": "no", "empty list": "no"}},
		{`claims.a.all(g, g != "x")`, map[string]string{"list": "no", "other list": "yes", "empty list": "yes"}},
		{`claims.a.exists_one(g, g in ["x"])`, map[string]string{"list": "yes", "other list": "no", "empty list": "no"}},
		{`claims.a.filter(g, g == "x") == []`, map[string]string{"list": "no", "other list": "yes", "empty list": "yes"}},
		{`claims.a.map(g, g + "!") == ["x!"]`, map[string]string{"list": "yes", "other list": "no", "empty list": "no"}},
		{`claims.a == ["x"]`, map[string]string{"list": "yes", "other list": "no", "empty list": "no"}},
		{`claims.a != ["x"]`, map[string]string{"list": "no", "other list": "yes", "empty list": "yes"}},
		{`[claims.a] == ["x"]`, map[string]string{"text": "yes", "other text": "no", "empty text": "no"}},
		{`claims.a[0] == "x"`, map[string]string{"list": "yes", "other list": "no", "list with a number": "yes", "list with null": "yes"}},
		{`size(claims.a) == 1`, map[string]string{"list": "yes", "other list": "yes", "empty list": "no", "list of lists": "yes"}},
		{`claims.a.size() == 0`, map[string]string{"list": "no", "other list": "no", "empty list": "yes", "list of lists": "no"}},
		{`claims.a == 1`, map[string]string{"number": "yes"}},
		{`claims.a != 2.5`, map[string]string{"number": "yes"}},
		{`claims.a < 2`, map[string]string{"number": "yes"}},
		{`claims.a in [1, 2]`, map[string]string{"number": "yes"}},
		{`claims.a == true`, map[string]string{"true": "yes"}},
		{`claims.a != true`, map[string]string{"true": "no"}},
		{`claims.a && true`, map[string]string{"true": "yes"}},
		{`!claims.a`, map[string]string{"true": "no"}},
		{`claims.a ? false : true`, map[string]string{"true": "no"}},
		{`claims.a.b == "x"`, map[string]string{"object": "yes"}},
		{`claims.a.b != "y"`, map[string]string{"object": "yes"}},
		{`has(claims.a.b)`, map[string]string{"object": "yes", "nested object": "yes", "object with the key": "no"}},
		{`!has(claims.a.b)`, map[string]string{"object": "no", "nested object": "no", "object with the key": "yes"}},
		{`claims.a.b.x == 1`, map[string]string{"nested object": "yes"}},
		{`claims.a == {"b": "x"}`, map[string]string{"object": "yes", "object with the key": "no"}},
		{`claims.a == {"b": "x", "c": 1}`, map[string]string{"object": "no", "object with the key": "no"}},
		// null is no value to compare with; a condition that asks for it by name gets an answer.
		{`claims.a == null`, map[string]string{"null": "yes", "*": "no"}},
		{`claims.a != null`, map[string]string{"null": "no", "*": "yes"}},
		{`has(claims.a)`, map[string]string{"*": "yes", "null": "?"}},
		{`!has(claims.a)`, map[string]string{"*": "no", "null": "?"}},
		{`"a" in claims`, map[string]string{"*": "yes", "null": "?"}},
		{`!("a" in claims)`, map[string]string{"*": "no", "null": "?"}},
		{`type(claims.a) == string`, map[string]string{"*": "no", "text": "yes", "other text": "yes", "empty text": "yes"}},
		// What holds whatever a claim is holds.
		{`true || claims.a == "x"`, map[string]string{"*": "yes"}},
		{`claims.a == "x" && false`, map[string]string{"*": "no"}},
	}
	for _, test := range tests {
		for form, value := range forms {
			t.Run(test.when+"/"+form, func(t *testing.T) {
				want, said := test.want[form]
				if !said {
					want, said = test.want["*"]
				}
				if !said {
					want = "?"
				}
				got := answer(t, test.when, fmt.Sprintf(`{"a": %s}`, value))
				if got != want && !(want == "?" && strings.HasPrefix(got, "? ")) {
					t.Errorf("answer is %q, want %q", got, want)
				}
			})
		}
	}
}

// An absent claim gives no answer, however it is asked for; who asks first whether it is there gets
// one.
func TestAbsentClaims(t *testing.T) {
	for _, when := range []string{
		`claims.site != "hq"`, `claims.site == "hq"`, `!(claims.site == "hq")`, `!(claims.site in ["hq"])`, `!("hq" in claims.sites)`,
		`claims.sites.all(s, s != "hq")`, `!claims.sites.exists(s, s == "hq")`,
		`!claims.site.startsWith("hq")`, `size(claims.sites) == 0`, `claims["site"] != "hq"`, `claims.org.site != "hq"`,
		`!has(claims.org.site)`, `claims.level < 3`, `!claims.contractor`,
		`claims.site != "hq" || claims.site == "hq"`, `claims.site == null`, `!(claims.site == claims.home)`,
		`claims.sites.filter(s, s == "hq") == []`,
	} {
		t.Run(when, func(t *testing.T) {
			if got := answer(t, when, `{}`); !strings.HasPrefix(got, "? there is no claim ") {
				t.Errorf("answer is %q", got)
			}
		})
	}
	for when, want := range map[string]string{
		`has(claims.site) && claims.site != "hq"`:       "no",
		`!has(claims.site) || claims.site != "hq"`:      "yes",
		`"site" in claims && claims.site == "hq"`:       "no",
		`!("site" in claims)`:                           "yes",
		`has(claims.site) ? claims.site == "hq" : true`: "yes",
	} {
		t.Run(when, func(t *testing.T) {
			if got := answer(t, when, `{}`); got != want {
				t.Errorf("answer is %q, want %q", got, want)
			}
		})
	}
}

// Why nobody can say names claims and types, never what a token holds.
func TestWhyUnknown(t *testing.T) {
	for _, test := range []struct{ when, claims, want string }{
		{`claims.site != "hq"`, `{}`, "there is no claim site"},
		{`claims.org.site != "hq"`, `{"org": {}}`, "there is no claim site"},
		{`"ai-agents" in claims.groups`, `{"groups": {"ai-agents": "secret"}}`,
			"claims.groups is an object, and a list is wanted; of an object's members ask has(claims.groups.NAME)"},
		{`"ai-agents" in claims.groups`, `{"groups": "secret"}`, "claims.groups is text, and a list is wanted"},
		{`"ai-agents" in claims.groups`, `{"groups": ["ai-agents", 7]}`,
			"claims.groups is a list of several types, and a list of one type is wanted"},
		{`"ai-agents" in claims.groups`, `{"groups": [7]}`, "claims.groups is a number, and text is wanted"},
		{`claims.site != "hq"`, `{"site": ["secret"]}`, "claims.site is a list, and text is wanted"},
		{`"hq" != claims["site"]`, `{"site": true}`, "claims.site is true or false, and text is wanted"},
		{`has(claims.org.site)`, `{"org": "secret"}`, "claims.org is text, and an object is wanted"},
		{`!has(claims.site)`, `{"site": null}`, "claims.site is null"},
		{`!claims.site.startsWith("hq")`, `{"site": 7}`, "a claim is of another type than the condition takes it for"},
		{`claims.groups.all(a, claims.groups.all(b, claims.groups.all(c, a != b || b != c || a == "x")))`,
			`{"groups": [` + strings.TrimSuffix(strings.Repeat(`"x",`, 200), ",") + `]}`,
			"the claims are too long for the condition"},
	} {
		t.Run(test.when, func(t *testing.T) {
			if got := answer(t, test.when, test.claims); got != "? "+test.want {
				t.Errorf("answer is %q, want %q", got, "? "+test.want)
			}
		})
	}
}
