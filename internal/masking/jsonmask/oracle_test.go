package jsonmask

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/bqgate/bqgate/internal/masking"
)

// oracle masks a document the obvious way: decode it whole, walk the tree by the plan, make each
// cell with plain string functions. It shares no code with the masker but matchSchema and the
// tables of constants.
func oracle(plan masking.Plan, salt, doc []byte) (any, error) {
	var top map[string]jsontext.Value
	if jsontext.Value(doc).Kind() != '{' {
		return nil, errors.New("no object")
	}
	if err := json.Unmarshal(doc, &top); err != nil {
		return nil, err
	}
	if err := plainNames(doc); err != nil {
		return nil, err
	}
	result := map[string]any{}
	for name, raw := range top {
		value, err := oracleMember(plan, salt, name, raw)
		if err != nil {
			return nil, err
		}
		known := slices.Contains(strings.Fields("kind etag schema jobReference jobComplete totalRows pageToken rows totalBytesProcessed "+
			"totalBytesBilled cacheHit queryId location "+
			"jobCreationReason creationTime startTime endTime"), name)
		if known && !(name == "etag" && plan.Masks()) {
			result[name] = value
		}
	}
	return result, nil
}

// plainNames holds the few rules about the text that a decoded tree does not show: names of the top
// level and of rows are plain words, and depth is limited.
func plainNames(doc []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(doc))
	rows, blanks := false, 0
	for {
		from := d.InputOffset()
		kind, length := d.StackIndex(d.StackDepth())
		isName := kind == '{' && length%2 == 0 && d.PeekKind() == '"'
		if isName && (d.StackDepth() == 1 || rows) {
			v, err := d.ReadValue()
			if err != nil {
				return err
			}
			word := string(v[1 : len(v)-1])
			if d.StackDepth() == 1 {
				rows = word == "rows"
				if len(word) > 64 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
					return errors.New("name")
				}
			} else if word != "f" && word != "v" {
				return errors.New("name in rows")
			}
			continue
		}
		if _, err := d.ReadToken(); err != nil {
			return nil // the end; validity was checked before
		}
		if !rows && d.StackDepth() > maxNested+1 {
			return errors.New("depth")
		}
		if blanks = int(d.InputOffset() - from); blanks > maxHead {
			return errors.New("long")
		}
	}
}

// oracleOnly keeps these members of an object, which must be strings or null; null is as good as
// absent.
func oracleOnly(value any, names ...string) (map[string]any, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("no object")
	}
	kept := map[string]any{}
	for _, name := range names {
		switch v := object[name].(type) {
		case nil:
		case string:
			if v != "" || name != "location" {
				kept[name] = v
			}
		default:
			return nil, errors.New("no string")
		}
	}
	return kept, nil
}

// oracleSchema keeps what names and types say of fields, and compares it with the plan.
func oracleSchema(value any, columns []masking.Column) ([]any, error) {
	bad := errors.New("schema")
	list, ok := value.([]any)
	if value != nil && !ok || len(list) != len(columns) {
		return nil, bad
	}
	out := []any{}
	for i, one := range list {
		field, ok := one.(map[string]any)
		if !ok && one != nil {
			return nil, bad
		}
		kept, err := oracleOnly(map[string]any{"name": field["name"], "type": field["type"], "mode": field["mode"]}, "name", "type", "mode")
		if err != nil {
			return nil, err
		}
		text := func(name string) string { s, _ := kept[name].(string); return s }
		nested, err := oracleSchema(field["fields"], columns[i].Fields)
		if err != nil {
			return nil, err
		}
		flat := schemaField{Name: text("name"), Type: text("type"), Mode: text("mode")}
		alone := columns[i]
		alone.Fields = nil
		told, err := flat.column()
		if err != nil {
			return nil, err
		}
		within := func(c masking.Column) []masking.Column {
			return []masking.Column{{Name: "s", Type: "STRUCT", Fields: []masking.Column{c}}}
		}
		if err := (masking.Plan{Columns: []masking.Column{alone}}).Match([]masking.Column{told}); err != nil {
			if err := (masking.Plan{Columns: within(alone)}).Match(within(told)); err != nil {
				return nil, err
			}
		}
		kept["name"], kept["type"] = text("name"), text("type")
		if text("mode") == "" {
			delete(kept, "mode")
		}
		if len(nested) > 0 {
			kept["fields"] = nested
		}
		switch p := field["precision"].(type) {
		case nil:
		case string:
			n, err := strconv.ParseUint(p, 10, 63)
			if err != nil {
				return nil, err
			}
			kept["precision"] = strconv.FormatUint(n, 10)
		case float64:
			if p < 0 || p != float64(int64(p)) {
				return nil, bad
			}
			kept["precision"] = strconv.FormatInt(int64(p), 10)
		default:
			return nil, bad
		}
		switch r := field["rangeElementType"].(type) {
		case nil:
		case map[string]any:
			element, err := oracleOnly(r, "type")
			if err != nil || text("type") != "RANGE" || !slices.Contains([]any{"DATE", "DATETIME", "TIMESTAMP"}, element["type"]) {
				return nil, bad
			}
			kept["rangeElementType"] = element
		default:
			return nil, bad
		}
		out = append(out, kept)
	}
	return out, nil
}

func oracleMember(plan masking.Plan, salt []byte, name string, raw jsontext.Value) (any, error) {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return nil, err
	}
	bad := fmt.Errorf("%s is not as it should be", name)
	switch name {
	case "kind", "etag", "pageToken", "queryId", "location":
		if _, ok := value.(string); !ok {
			return nil, bad
		}
	case "jobComplete", "cacheHit":
		if _, ok := value.(bool); !ok {
			return nil, bad
		}
	case "totalRows", "creationTime", "startTime", "endTime", "totalBytesProcessed", "totalBytesBilled":
		text, quoted := value.(string)
		if !quoted {
			text = strings.TrimSpace(string(raw))
		}
		var n uint64
		if _, err := fmt.Sscanf(text, "%d", &n); err != nil || strings.Trim(text, "0123456789") != "" {
			return nil, bad
		}
		if strings.HasPrefix(name, "totalBytes") { // bytes go out rounded up to 10 MiB
			return strconv.FormatUint((n+10<<20-1)/(10<<20)*(10<<20), 10), nil
		}
	case "jobReference":
		kept, err := oracleOnly(value, "projectId", "jobId", "location")
		if kept != nil && kept["projectId"] == nil {
			kept["projectId"] = ""
		}
		if kept != nil && kept["jobId"] == nil {
			kept["jobId"] = ""
		}
		return kept, err
	case "jobCreationReason":
		kept, err := oracleOnly(value, "code")
		if kept != nil && kept["code"] == nil {
			kept["code"] = ""
		}
		return kept, err
	case "schema":
		if raw.Kind() != '{' {
			return nil, bad
		}
		fields, err := oracleSchema(value.(map[string]any)["fields"], plan.Columns)
		if err != nil {
			return nil, err
		}
		if len(fields) == 0 {
			return map[string]any{}, nil
		}
		return map[string]any{"fields": fields}, nil
	case "rows":
		list, ok := value.([]any)
		if !ok {
			return nil, bad
		}
		if len(list) > 0 && len(plan.Columns) == 0 {
			return nil, errors.New("rows without a plan")
		}
		for i := range list {
			var err error
			if list[i], err = oracleFields(plan.Columns, masking.Clear, salt, list[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return value, nil
}

func onlyStrings(value any, names ...string) error {
	object, ok := value.(map[string]any)
	if !ok {
		return errors.New("no object")
	}
	for name, v := range object {
		// Null decodes into an empty string.
		if _, ok := v.(string); !ok && v != nil || !slices.Contains(names, name) {
			return errors.New("no such string")
		}
	}
	return nil
}

// only returns the single member of an object.
func only(value any, name string) (any, error) {
	object, ok := value.(map[string]any)
	v, has := object[name]
	if !ok || !has || len(object) != 1 {
		return nil, fmt.Errorf("no object of %s alone", name)
	}
	return v, nil
}

func oracleFields(columns []masking.Column, over masking.Rule, salt []byte, value any) (any, error) {
	f, err := only(value, "f")
	if err != nil {
		return nil, err
	}
	list, ok := f.([]any)
	if !ok || len(list) != len(columns) {
		return nil, errors.New("arity")
	}
	for i, cell := range list {
		v, err := only(cell, "v")
		if err != nil {
			return nil, err
		}
		if v, err = oracleValue(columns[i], over, salt, v); err != nil {
			return nil, err
		}
		list[i] = map[string]any{"v": v}
	}
	return map[string]any{"f": list}, nil
}

func oracleValue(c masking.Column, over masking.Rule, salt []byte, value any) (any, error) {
	rule := masking.Stricter(over, c.Mask)
	if c.Type == "STRUCT" && c.Mask == "" {
		rule = over
	}
	if !c.Repeated {
		return oracleOne(c, rule, salt, value)
	}
	list, ok := value.([]any)
	if !ok && value != nil {
		return nil, errors.New("no array")
	}
	for i, element := range list {
		v, err := only(element, "v")
		if err != nil {
			return nil, err
		}
		if v, err = oracleOne(c, rule, salt, v); err != nil {
			return nil, err
		}
		list[i] = map[string]any{"v": v}
	}
	if c.Type != "STRUCT" {
		rule = rule.For(c.Type)
	}
	if rule == masking.AlwaysNull || rule == masking.DefaultMaskingValue {
		return []any{}, nil
	}
	return value, nil
}

func oracleOne(c masking.Column, rule masking.Rule, salt []byte, value any) (any, error) {
	if c.Type == "STRUCT" {
		var err error
		if value != nil {
			if value, err = oracleFields(c.Fields, rule, salt, value); err != nil {
				return nil, err
			}
		}
		switch rule {
		case masking.AlwaysNull:
			return nil, nil
		case masking.DefaultMaskingValue:
			blank := make([]any, len(c.Fields))
			for i, field := range c.Fields {
				v := any(nil)
				if field.Repeated {
					v = []any{}
				} else if field.Type == "STRUCT" {
					v, _ = oracleOne(field, masking.Stricter(rule, cmp.Or(field.Mask, masking.Clear)), salt, nil)
				} else if masking.Stricter(rule, field.Mask) == masking.DefaultMaskingValue {
					v = oracleCell(masking.DefaultMaskingValue, field.Type, "", salt)
				}
				blank[i] = map[string]any{"v": v}
			}
			return map[string]any{"f": blank}, nil
		}
		return value, nil
	}
	text, ok := value.(string)
	if !ok && value != nil {
		return nil, errors.New("no string")
	}
	rule = rule.For(c.Type)
	if value == nil && rule != masking.DefaultMaskingValue {
		return nil, nil
	}
	return oracleCell(rule, c.Type, text, salt), nil
}

func oracleCell(rule masking.Rule, typ, text string, salt []byte) any {
	blank := masking.Default(typ)
	if typ == "TIMESTAMP" {
		blank = "0"
	}
	sum := func(s string) any { h := sha256.Sum256([]byte(s)); return base64.StdEncoding.EncodeToString(h[:]) }
	runes := []rune(text)
	switch rule {
	case masking.Clear:
		return text
	case masking.AlwaysNull:
		return nil
	case masking.DefaultMaskingValue:
		return blank
	case masking.SHA256, masking.RandomHash:
		if typ == "BYTES" {
			b, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return blank
			}
			text = string(b)
		}
		if rule == masking.SHA256 {
			return sum(text)
		}
		h := hmac.New(sha256.New, salt)
		h.Write([]byte(text))
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	case masking.LastFourCharacters:
		if len(runes) > 4 {
			return "XXXXX" + string(runes[len(runes)-4:])
		}
		return sum(text)
	case masking.FirstFourCharacters:
		if len(runes) > 4 {
			return string(runes[:4]) + "XXXXX"
		}
		return sum(text)
	case masking.EmailMask:
		if at, ok := emailAt([]byte(text)); ok { // its own table of cases tests emailAt
			return "XXXXX" + text[at:]
		}
		return sum(text)
	case masking.DateYearMask:
		if typ != "TIMESTAMP" && yearPrefix([]byte(text)) {
			return text[:4] + map[string]string{"DATE": "-01-01", "DATETIME": "-01-01T00:00:00"}[typ]
		}
		if typ == "TIMESTAMP" {
			var c cells // TestCells tests the shapes of a TIMESTAMP
			n := node{typ: typ, constant: []byte(`"0"`)}
			return strings.Trim(string(c.appendYear(nil, &n, []byte(text))), `"`)
		}
		return blank
	}
	panic("unknown rule")
}

// compare runs both over a document and says where they differ.
func compare(t *testing.T, plan masking.Plan, doc []byte, r *rand.Rand) {
	t.Helper()
	salt := []byte("salt")
	want, wantErr := oracle(plan, salt, bytes.Clone(doc))
	size := 1 + r.IntN(len(doc)+1)
	m := NewResults(plan, Options{Salt: salt})
	m.rows.off = r.IntN(3) == 0
	got, err := maskWith(m, string(doc), func() int { return 1 + r.IntN(size) })
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("masker: %v\noracle: %v\ndocument %q\noutput %s", err, wantErr, doc, got)
	}
	if err != nil {
		return
	}
	var tree any
	if err := json.Unmarshal([]byte(got), &tree); err != nil {
		t.Fatalf("output is not valid: %v\ndocument %q\noutput %s", err, doc, got)
	}
	if !reflect.DeepEqual(tree, want) {
		t.Fatalf("masker and oracle differ\ndocument %q\noutput %s\noracle %v", doc, got, want)
	}
}

// fuzzPlans are shapes that together have every rule, type and nesting.
var fuzzPlans = func() []masking.Plan {
	plans := []masking.Plan{{}, customers}
	for _, typ := range []string{"STRING", "BYTES", "INT64", "TIMESTAMP", "DATE", "DATETIME", "JSON"} {
		var plan masking.Plan
		for i, rule := range append(masking.Rules(), masking.Clear) {
			plan.Columns = append(plan.Columns, masking.Column{Name: fmt.Sprintf("c%d", i), Type: typ, Mask: rule})
		}
		plans = append(plans, plan)
	}
	for _, over := range append(masking.Rules(), masking.Clear, "") {
		inner := []masking.Column{{Name: "a", Type: "STRING", Mask: masking.Clear}, {Name: "b", Type: "STRING",
			Repeated: true, Mask: masking.LastFourCharacters},
			{Name: "s", Type: "STRUCT", Fields: []masking.Column{{Name: "t", Type: "TIMESTAMP", Mask: masking.Clear}}}}
		plans = append(plans,
			masking.Plan{Columns: []masking.Column{{Name: "x", Type: "STRUCT", Mask: over, Fields: inner}}},
			masking.Plan{Columns: []masking.Column{{Name: "x", Type: "STRUCT", Repeated: true, Mask: over, Fields: inner},
				{Name: "y", Type: "INT64", Mask: masking.Clear}}},
			masking.Plan{Columns: []masking.Column{{Name: "x", Type: "STRING", Repeated: true, Mask: over}}},
			masking.Plan{Columns: []masking.Column{{Name: "x", Type: "STRING", Mask: over}}},
		)
	}
	return plans
}()

// generate writes a valid answer for a plan with random cells and blanks.
type generate struct {
	r *rand.Rand
	strings.Builder
	pretty int // 0: no blanks, 1: random ones
}

var samples = []string{
	"", "a", "1234", "12345", "123-45-6789", "äöü€x", "😀😀😀😀😀", `q\"uo\\te`, `\u0041\u00e4\ud83d\ude00xyz`, "a@b.de", "x@y", "YWJj",
	"2024-07-13", "2024-07-13T01:02:03", "2024-07-13T01:02:03.5Z",
	"1.7E9", "1720874096000000", "-5", "{\\\"a\\\":1}", "<script>", "plain words that are a little longer than eight bytes",
}

func (g *generate) token(s string) {
	if g.pretty > 0 && g.r.IntN(4) == 0 {
		g.WriteString(strings.Repeat(string(" \n\t\r"[g.r.IntN(4)]), g.r.IntN(3)))
	}
	g.WriteString(s)
}

func (g *generate) fields(columns []masking.Column) {
	g.token("{")
	g.token(`"f"`)
	g.token(":")
	g.token("[")
	for i, c := range columns {
		if i > 0 {
			g.token(",")
		}
		if !c.Repeated {
			g.cell(c)
			continue
		}
		g.token(`{"v":[`)
		for k := range g.r.IntN(4) {
			if k > 0 {
				g.token(",")
			}
			g.cell(c)
		}
		g.token("]}")
	}
	g.token("]")
	g.token("}")
}

func (g *generate) cell(c masking.Column) {
	g.token("{")
	g.token(`"v"`)
	g.token(":")
	switch {
	case g.r.IntN(8) == 0:
		g.token("null")
	case c.Type == "STRUCT":
		g.fields(c.Fields)
	default:
		g.token(`"` + samples[g.r.IntN(len(samples))] + `"`)
	}
	g.token("}")
}

func (g *generate) document(plan masking.Plan) []byte {
	g.token(`{"kind":"x","etag":"e","rows":`)
	g.token("[")
	for i := range g.r.IntN(7) {
		if i > 0 {
			g.token(",")
		}
		g.fields(plan.Columns)
	}
	g.token("]")
	g.token(`,"errors":[{"message":"m"}],"totalRows":"7"`)
	g.token("}")
	return []byte(g.String())
}

// TestAgainstOracle compares on thousands of generated answers, valid ones and ones with a byte
// changed.
func TestAgainstOracle(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 4000 {
		plan := fuzzPlans[1+r.IntN(len(fuzzPlans)-1)]
		g := generate{r: r, pretty: i % 2}
		doc := g.document(plan)
		if _, err := oracle(plan, []byte("salt"), bytes.Clone(doc)); err != nil {
			t.Fatalf("the generator made %s: %v", doc, err)
		}
		if i%3 == 0 {
			at := r.IntN(len(doc))
			doc[at] = "{}[]\",:\\vf0n \xff"[r.IntN(14)]
		}
		compare(t, plan, doc, r)
	}
}

// fuzzRecorded is the first number that stands for the plan of a recorded form.
const fuzzRecorded = 128

func FuzzResults(f *testing.F) {
	f.Add([]byte(customersDoc), uint8(1), uint64(1))
	r := rand.New(rand.NewPCG(1, 1))
	for i, plan := range fuzzPlans {
		if i%5 == 0 {
			g := generate{r: r, pretty: i % 2}
			f.Add(g.document(plan), uint8(i), uint64(i))
		}
	}
	recorded := recordedResults(f)
	for i, form := range recorded {
		f.Add([]byte(form.answer), uint8(fuzzRecorded+i), uint64(i))
	}
	f.Fuzz(func(t *testing.T, doc []byte, which uint8, seed uint64) {
		plan := fuzzPlans[int(which)%len(fuzzPlans)]
		if which >= fuzzRecorded {
			plan = recorded[(int(which)-fuzzRecorded)%len(recorded)].plan
		}
		compare(t, plan, doc, rand.New(rand.NewPCG(seed, 0)))
	})
}

// TestCanary: no piece of a masked value longer than its rule shows is in any output, whatever the
// chunks, and not in what came before an error either.
func TestCanary(t *testing.T) {
	const canary = "CANARY-7f3a9c"
	plan := masking.Plan{Columns: []masking.Column{
		{Name: "a", Type: "STRING", Mask: masking.AlwaysNull}, {Name: "b", Type: "STRING", Mask: masking.DefaultMaskingValue},
		{Name: "c", Type: "STRING", Mask: masking.SHA256},
		{Name: "d", Type: "STRING", Mask: masking.LastFourCharacters}, {Name: "e", Type: "STRING", Mask: masking.FirstFourCharacters},
		{Name: "f", Type: "STRING", Mask: masking.EmailMask},
		{Name: "g", Type: "BYTES", Mask: masking.SHA256}, {Name: "h", Type: "INT64", Mask: masking.EmailMask},
		{Name: "i", Type: "STRING", Repeated: true, Mask: masking.RandomHash},
		{Name: "j", Type: "STRUCT", Mask: masking.AlwaysNull, Fields: []masking.Column{{Name: "k", Type: "STRING", Mask: masking.Clear}}},
		{Name: "l", Type: "STRING", Mask: masking.Clear},
	}}
	v := `{"v":"` + canary + `"}`
	row := `{"f":[` + strings.Repeat(v+",", 8) + `{"v":[` + v + `,` + v + `]},{"v":{"f":[` + v + `]}},{"v":"fine"}]}`
	doc := `{"errors":["` + canary + `"],"rows":[` + row + `,` + row + `,` + row + `,` + row + `],"dmlStats":"` + canary + `"}`
	secret := []string{canary, "CANARY", "ANARY", "7f3a9", "-7f3", "f3a9"}
	r := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		text := []byte(doc)
		broken := r.IntN(2) == 0
		if broken {
			text[r.IntN(len(text))] ^= 1 << r.IntN(8)
		}
		size := 1 + r.IntN(60)
		out, err := maskWith(NewResults(plan, Options{Salt: []byte("s")}), string(text), func() int { return 1 + r.IntN(size) })
		if !broken && err != nil {
			t.Fatal(err)
		}
		for _, s := range secret {
			t.Run(s, func(t *testing.T) {
				if strings.Contains(out, s) {
					t.Fatalf("%q is in %s", s, out)
				}
			})
		}
	}
}

// TestNoAllocationPerRow: ten times the rows cost no more allocations. A few are not for rows: the
// race detector makes pools forget what they hold.
func TestNoAllocationPerRow(t *testing.T) {
	for _, generic := range []bool{false, true} {
		count := func(rows int) float64 {
			doc := benchDoc(rows, false)
			return testing.AllocsPerRun(5, func() {
				m := NewResults(benchPlan(benchFour), Options{})
				m.rows.off = generic
				for p := doc; len(p) > 0; {
					n := min(16<<10, len(p))
					if _, err := m.Write(p[:n]); err != nil {
						t.Fatal(err)
					}
					p = p[n:]
				}
			})
		}
		few, many := count(1000), count(10000)
		if many > few+20 { // 9,000 rows more
			t.Errorf("generic=%t: %v allocations for 1,000 rows, %v for 10,000", generic, few, many)
		}
	}
}
