package fakegoogle

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// queryParameter is QueryParameter of the API.
type queryParameter struct {
	Name           string         `json:"name"`
	ParameterType  parameterType  `json:"parameterType"`
	ParameterValue parameterValue `json:"parameterValue"`
}

type parameterType struct {
	Type        string         `json:"type"`
	ArrayType   *parameterType `json:"arrayType"`
	StructTypes []struct {
		Name string        `json:"name"`
		Type parameterType `json:"type"`
	} `json:"structTypes"`
}

type parameterValue struct {
	Value        *string                   `json:"value"`
	ArrayValues  []parameterValue          `json:"arrayValues"`
	StructValues map[string]parameterValue `json:"structValues"`
}

// scalarTypes are the parameter types written as CAST('text' AS type).
var scalarTypes = map[string]string{
	"INT64": "INT64", "INTEGER": "INT64", "FLOAT64": "FLOAT64", "FLOAT": "FLOAT64", "BOOL": "BOOL", "BOOLEAN": "BOOL", "STRING": "STRING",
	"BYTES": "BYTES", "DATE": "DATE", "DATETIME": "DATETIME", "TIME": "TIME", "TIMESTAMP": "TIMESTAMP", "NUMERIC": "NUMERIC",
	"BIGNUMERIC": "BIGNUMERIC", "JSON": "JSON",
}

var digits = regexp.MustCompile(`^-?\d{1,18}$`)

// bindParameters writes parameter values into the SQL as typed literals, which is all that the
// engines behind need to understand.
func bindParameters(sql, mode string, params []queryParameter) (string, *apiError) {
	if len(params) == 0 {
		return sql, nil
	}
	named := map[string]string{}
	var positional []string
	for _, p := range params {
		text, err := literal(p.ParameterType, p.ParameterValue)
		if err != nil {
			return "", errInvalid(fmt.Sprintf("Invalid value for query parameter %q: %v", p.Name, err))
		}
		if p.Name != "" {
			named[strings.ToLower(p.Name)] = text
		} else {
			positional = append(positional, text)
		}
	}
	if mode == "POSITIONAL" && len(named) > 0 || mode == "NAMED" && len(positional) > 0 {
		return "", errInvalid("Query parameters do not fit parameterMode " + mode)
	}
	var b strings.Builder
	next := 0
	for i := 0; i < len(sql); {
		end := tokenEnd(sql, i)
		tok := sql[i:end]
		switch {
		case tok == "?" && len(positional) > 0:
			if next == len(positional) {
				return "", &apiError{Code: 400, Reason: "invalidQuery", Message: "Query parameter number " + itoa(next+1) + " is not given"}
			}
			tok = positional[next]
			next++
		case tok == "@" && end < len(sql) && sql[end] == '@': // a system variable
			end++
			tok = "@@"
		case tok == "@" && len(named) > 0:
			name, nameEnd := parameterName(sql, end)
			if text, ok := named[strings.ToLower(name)]; ok {
				tok, end = text, nameEnd
			}
		}
		b.WriteString(tok)
		i = end
	}
	return b.String(), nil
}

// parameterName reads the name of a parameter behind its @, and says where it ends. It is an
// identifier, which may be quoted: "Query parameters … Follow the @ character with an identifier,
// such as @param_name." https://cloud.google.com/bigquery/docs/parameterized-queries
func parameterName(sql string, from int) (name string, end int) {
	if from < len(sql) && sql[from] == '`' {
		end = tokenEnd(sql, from)
		return strings.Trim(sql[from:end], "`"), end
	}
	end = from
	for end < len(sql) && isWord(sql[end]) {
		end++
	}
	return sql[from:end], end
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func typeText(t parameterType) (string, error) {
	switch strings.ToUpper(t.Type) {
	case "ARRAY":
		if t.ArrayType == nil {
			return "", fmt.Errorf("arrayType is missing")
		}
		elem, err := typeText(*t.ArrayType)
		return "ARRAY<" + elem + ">", err
	case "STRUCT":
		var fields []string
		for _, f := range t.StructTypes {
			text, err := typeText(f.Type)
			if err != nil {
				return "", err
			}
			fields = append(fields, strings.TrimSpace(f.Name+" "+text))
		}
		return "STRUCT<" + strings.Join(fields, ", ") + ">", nil
	}
	word, ok := scalarTypes[strings.ToUpper(t.Type)]
	if !ok {
		return "", fmt.Errorf("type %q is not known", t.Type)
	}
	return word, nil
}

func literal(t parameterType, v parameterValue) (string, error) {
	text, err := typeText(t)
	if err != nil {
		return "", err
	}
	switch strings.ToUpper(t.Type) {
	case "ARRAY":
		var elems []string
		for _, e := range v.ArrayValues {
			l, err := literal(*t.ArrayType, e)
			if err != nil {
				return "", err
			}
			elems = append(elems, l)
		}
		return text + "[" + strings.Join(elems, ", ") + "]", nil
	case "STRUCT":
		var fields []string
		for _, f := range t.StructTypes {
			l, err := literal(f.Type, v.StructValues[f.Name])
			if err != nil {
				return "", err
			}
			fields = append(fields, l)
		}
		return text + "(" + strings.Join(fields, ", ") + ")", nil
	}
	if v.Value == nil {
		return "CAST(NULL AS " + text + ")", nil
	}
	switch {
	case text == "INT64" && digits.MatchString(*v.Value):
		return *v.Value, nil // LIMIT @n takes nothing but a literal
	case text == "STRING":
		return sqlQuote(*v.Value), nil
	case text == "JSON":
		return "PARSE_JSON(" + sqlQuote(*v.Value) + ")", nil
	case text == "BYTES":
		return "FROM_BASE64(" + sqlQuote(*v.Value) + ")", nil
	}
	return "CAST(" + sqlQuote(*v.Value) + " AS " + text + ")", nil
}

// sqlQuote writes a GoogleSQL string literal.
func sqlQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// tokenEnd returns where the string, comment, quoted name or single byte at i ends.
func tokenEnd(s string, i int) int {
	switch c := s[i]; {
	case c == '\'' || c == '"':
		q := s[i : i+1]
		if strings.HasPrefix(s[i:], strings.Repeat(q, 3)) {
			q = strings.Repeat(q, 3)
		}
		for j := i + len(q); j < len(s); j++ {
			if s[j] == '\\' {
				j++
				continue
			}
			if strings.HasPrefix(s[j:], q) {
				return j + len(q)
			}
		}
		return len(s)
	case c == '`':
		if n := strings.IndexByte(s[i+1:], '`'); n >= 0 {
			return i + 1 + n + 1
		}
		return len(s)
	case c == '#' || strings.HasPrefix(s[i:], "--"):
		if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
			return i + n + 1
		}
		return len(s)
	case strings.HasPrefix(s[i:], "/*"):
		if n := strings.Index(s[i+2:], "*/"); n >= 0 {
			return i + 2 + n + 2
		}
		return len(s)
	}
	return i + 1
}

// flexInt is an int64 that JSON may carry as a number or as a string, as Google's APIs do.
type flexInt int64

// UnmarshalJSON takes 5 and "5".
func (f *flexInt) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("Invalid value: %s is not an int64", b) //nolint:staticcheck // Google's words
	}
	*f = flexInt(n)
	return nil
}

// camelKeys turns snake_case keys into camelCase, as Google's JSON reader accepts both. Maps with
// the client's own keys (labels, structValues) stay as they are. Where both spellings are given,
// camelCase wins.
func camelKeys(v any, own bool) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for _, k := range sortedKeys(x) {
			name := k
			if !own {
				name = camel(k)
			}
			if _, taken := out[name]; taken && name != k {
				continue
			}
			out[name] = camelKeys(x[k], !own && (name == "labels" || name == "structValues"))
		}
		return out
	case []any:
		for i := range x {
			x[i] = camelKeys(x[i], own)
		}
	}
	return v
}

func camel(s string) string {
	parts := strings.Split(s, "_")
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
	return strings.Join(parts, "")
}

// decodeBody reads a request body as Google does: unknown keys are ignored, snake_case works, the
// last of two equal keys wins.
func decodeBody(body []byte, into any) (map[string]any, *apiError) {
	var tree map[string]any
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, &apiError{Code: 400, Reason: "parseError", Message: "Invalid JSON payload received. " + err.Error()}
	}
	tree, _ = camelKeys(tree, false).(map[string]any)
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, errInvalid(err.Error())
	}
	if err := json.Unmarshal(text, into); err != nil {
		return nil, errInvalid("Invalid JSON payload received. " + err.Error())
	}
	return tree, nil
}
