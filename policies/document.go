package policies

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/bqgate/bqgate/internal/spelling"
)

// Limits of policies: 10,000 rules load in a second.
const (
	maxFile    = 1 << 20 // bytes of a file
	maxEntries = 10_000  // groups, columns, tables, rules and approvals of all files
)

func (f File) size() int {
	return len(f.Groups) + len(f.Columns) + len(f.Tables) + len(f.Rules) + len(f.Approvals)
}

// document is one parsed policy file, with the places of everything in it.
type document struct {
	name   string // as it was given
	shown  string // as refusals show it: no folders of the machine
	policy string // base name without extension
	text   []byte
	lines  []string
	root   ast.Node
	file   File
}

// parse reads a file strictly: unknown and duplicate keys, wrong types, empty values, anchors,
// aliases and tags are problems.
func parse(name string, text []byte) (*document, Problems) {
	base := filepath.Base(name)
	d := &document{name: name, shown: name, policy: strings.TrimSuffix(base, filepath.Ext(base)), text: text}
	if filepath.IsAbs(name) {
		d.shown = filepath.Join(filepath.Base(filepath.Dir(name)), base)
	}
	switch {
	case len(text) > maxFile:
		return d, Problems{d.problem(place{}, "the file has more than %d bytes", maxFile)}
	case !utf8.Valid(text):
		return d, Problems{d.problem(place{}, "the file is not UTF-8 text")}
	}
	d.lines = strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	root, problem := d.tree()
	if problem != nil {
		return d, Problems{problem}
	}
	d.root = root
	check := checker{document: d}
	check.node(root, reflect.TypeFor[File](), "", 0)
	if len(check.problems) > 0 {
		return d, check.problems
	}
	if err := yaml.NodeToValue(root, &d.file, yaml.Strict()); err != nil {
		return d, Problems{d.yamlProblem(err)}
	}
	return d, nil
}

// tree parses the YAML into its one document.
func (d *document) tree() (root ast.Node, problem *Problem) {
	defer func() {
		if p := recover(); p != nil { // the parser gave up on this text: it is refused like any other that is not YAML
			root, problem = nil, d.problem(place{}, "the file is not YAML that can be read: %v", p)
		}
	}()
	file, err := parser.ParseBytes(d.text, 0)
	if err != nil {
		return nil, d.yamlProblem(err)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			return nil, d.problem(placeOf(doc.Body), "a policy file is one YAML document")
		}
		root = doc.Body
	}
	if root == nil {
		return nil, d.problem(place{}, "the file is empty; it begins with `version: %s`", Version)
	}
	return root, nil
}

// yamlProblem keeps what the parser said, in the form of our own problems.
func (d *document) yamlProblem(err error) *Problem {
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &located) {
		if t := located.GetToken(); t != nil && t.Position != nil {
			return d.problem(tokenPlace(t), "%s", firstLine(located.GetMessage()))
		}
		return d.problem(place{}, "%s", firstLine(located.GetMessage()))
	}
	return d.problem(place{}, "%s", firstLine(err.Error()))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// checker compares a YAML tree with the Go type that it is to fill, and says every mistake at its
// place.
type checker struct {
	*document
	problems Problems
}

func (c *checker) add(at place, format string, args ...any) {
	c.problems = append(c.problems, c.problem(at, format, args...))
}

// maxNesting is far above what the language needs.
const maxNesting = 16

func (c *checker) node(n ast.Node, t reflect.Type, key string, depth int) {
	if depth > maxNesting {
		c.add(placeOf(n), "this is nested too deep")
		return
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		c.add(placeOf(n), "anchors, aliases and tags are not part of the policy language")
		return
	case *ast.NullNode, nil:
		c.add(placeOf(n), "%s has no value", quoteKey(key))
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		fields := map[string]reflect.Type{}
		var names []string
		for i := range t.NumField() {
			name := t.Field(i).Tag.Get("yaml")
			fields[name], names = t.Field(i).Type, append(names, name)
		}
		c.mapping(n, key, depth, func(k string) (reflect.Type, string) { return fields[k], spelling.DidYouMean(k, names) })
	case reflect.Map:
		c.mapping(n, key, depth, func(string) (reflect.Type, string) { return t.Elem(), "" })
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if _, mapping := n.(ast.MapNode); !ok && mapping && t == reflect.TypeFor[BudgetEntries]() {
			c.node(n, t.Elem(), key, depth) // one budget in place of a list
			return
		}
		if !ok {
			c.add(placeOf(n), "%s must be a list", quoteKey(key))
			return
		}
		for _, value := range list.Values {
			c.node(value, t.Elem(), key, depth+1)
		}
	default:
		c.scalar(n, t, key)
	}
}

func (c *checker) mapping(n ast.Node, key string, depth int, field func(string) (reflect.Type, string)) {
	m, ok := n.(ast.MapNode)
	if !ok {
		c.add(placeOf(n), "%s must be a mapping of keys to values", quoteKey(key))
		return
	}
	seen := map[string]bool{}
	for pairs := m.MapRange(); pairs.Next(); {
		name := pairs.Key()
		text, ok := name.(*ast.StringNode)
		if !ok {
			c.add(placeOf(name), "a key must be plain text")
			continue
		}
		t, hint := field(text.Value)
		switch {
		case seen[text.Value]:
			c.add(placeOf(name), "%s stands here twice", quoteKey(text.Value))
		case t == nil:
			c.add(placeOf(name), "unknown key %s%s", text.Value, hint)
		default:
			c.node(pairs.Value(), t, text.Value, depth+1)
		}
		seen[text.Value] = true
	}
}

func (c *checker) scalar(n ast.Node, t reflect.Type, key string) {
	want, ok := "text; put it in quotes", false
	switch t.Kind() {
	case reflect.String:
		switch n.(type) {
		case *ast.StringNode, *ast.LiteralNode:
			ok = true
		}
	case reflect.Bool:
		want = "true or false"
		_, ok = n.(*ast.BoolNode)
	case reflect.Int:
		want = "a whole number"
		_, ok = n.(*ast.IntegerNode)
	}
	if !ok {
		c.add(placeOf(n), "%s must be %s", quoteKey(key), want)
	}
}

func quoteKey(key string) string {
	if key == "" {
		return "the policy"
	}
	return strconv.Quote(key)
}

// at finds the node under a path of keys (string) and indexes (int); nil if there is none.
func (d *document) at(path ...any) ast.Node {
	n := d.root
	for _, step := range path {
		n = child(n, step)
	}
	return n
}

func child(n ast.Node, step any) ast.Node {
	switch step := step.(type) {
	case int:
		if list, ok := n.(*ast.SequenceNode); ok && step < len(list.Values) {
			return list.Values[step]
		}
	case string:
		if m, ok := n.(ast.MapNode); ok {
			for pairs := m.MapRange(); pairs.Next(); {
				if key, ok := pairs.Key().(*ast.StringNode); ok && key.Value == step {
					return pairs.Value()
				}
			}
		}
	}
	return nil
}

// key finds the place of a mapping's key.
func (d *document) key(name string, path ...any) place {
	if m, ok := d.at(path...).(ast.MapNode); ok {
		for pairs := m.MapRange(); pairs.Next(); {
			if key, ok := pairs.Key().(*ast.StringNode); ok && key.Value == name {
				return placeOf(key)
			}
		}
	}
	return d.nearest(path...)
}

// nearest is the place of the node under the path, or of the last one on the way that exists.
func (d *document) nearest(path ...any) place {
	for end := len(path); end >= 0; end-- {
		if n := d.at(path[:end]...); n != nil {
			return placeOf(n)
		}
	}
	return place{line: 1, column: 1}
}

// wrong is a problem at a path.
func (d *document) wrong(path []any, format string, args ...any) *Problem {
	return d.problem(d.nearest(path...), format, args...)
}

// rule is the reference to the entry under a path.
func (d *document) rule(name string, path ...any) RuleRef {
	return RuleRef{Policy: d.policy, Name: name, File: d.shown, Line: d.nearest(path...).line}
}

func placeOf(n ast.Node) place {
	switch n := n.(type) {
	case nil:
		return place{}
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return placeOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key)
	}
	return tokenPlace(n.GetToken())
}

func tokenPlace(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	width := utf8.RuneCountInString(firstLine(t.Value))
	if t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType {
		width += 2
	}
	return place{t.Position.Line, t.Position.Column, width}
}

// inside is the place of a character inside a scalar that stands on one line as it is; otherwise
// the place of the scalar.
func (d *document) inside(n ast.Node, offset, width int) place {
	at := placeOf(n)
	text, ok := n.(*ast.StringNode)
	if !ok || at.line < 1 || at.line > len(d.lines) {
		return at
	}
	line := []rune(d.lines[at.line-1])
	start := at.column - 1
	if at.width > utf8.RuneCountInString(text.Value) {
		start++ // the quote
	}
	value := []rune(text.Value)
	if start < 0 || start+len(value) > len(line) || string(line[start:start+len(value)]) != text.Value || offset < 0 ||
		offset >= len(value) {
		return at
	}
	return place{at.line, start + 1 + offset, max(1, min(width, len(value)-offset))}
}

var _ error = (*Problem)(nil)

// readError is a problem with a whole file.
func readError(name string, err error) *Problem {
	return &Problem{File: name, Message: fmt.Sprintf("read policy: %v", err)}
}
