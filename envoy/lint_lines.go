package envoy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// path leads from the root of a configuration to a setting. Steps are field names, and indexes as
// "[0]".
type path []string

func (p path) field(names ...string) path { return append(p[:len(p):len(p)], names...) }
func (p path) index(i int) path           { return append(p[:len(p):len(p)], "["+strconv.Itoa(i)+"]") }

func (p path) String() string {
	return strings.ReplaceAll(strings.Join(p, "."), ".[", "[")
}

// document finds lines for paths.
type document struct{ root node }

func parseDocument(text []byte) (*document, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fmt.Errorf("%d documents, want one", len(file.Docs))
	}
	root := node{file.Docs[0].Body}
	if len(root.children()) == 0 {
		return nil, errors.New("no settings")
	}
	return &document{root}, nil
}

// line is the line of the setting at p or, where it is missing, of the nearest thing around it.
func (d *document) line(p path) int {
	n, line := d.root, 1
	for _, step := range p {
		next, ok := n.child(step)
		if !ok {
			break
		}
		n, line = next.node, next.line
	}
	return line
}

// node is a YAML node seen as a tree of steps.
type node struct{ ast.Node }

type child struct {
	step string
	line int
	node node
}

func (n node) children() []child {
	switch n := n.Node.(type) {
	case *ast.MappingNode:
		var out []child
		for _, v := range n.Values {
			out = append(out, pair(v))
		}
		return out
	case *ast.MappingValueNode:
		return []child{pair(n)}
	case *ast.SequenceNode:
		var out []child
		for i, v := range n.Values {
			out = append(out, child{"[" + strconv.Itoa(i) + "]", lineOf(v), node{v}})
		}
		return out
	case *ast.AnchorNode:
		return node{n.Value}.children()
	case *ast.TagNode:
		return node{n.Value}.children()
	default:
		return nil
	}
}

func pair(v *ast.MappingValueNode) child {
	return child{snake(v.Key.GetToken().Value), lineOf(v.Key), node{v.Value}}
}

func (n node) child(step string) (child, bool) {
	for _, c := range n.children() {
		if c.step == step {
			return c, true
		}
	}
	return child{}, false
}

func (n node) stringAt(key string) (string, bool) {
	c, ok := n.child(key)
	if !ok {
		return "", false
	}
	s, ok := c.node.Node.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, true
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// snake turns the protos' JSON spelling into their own: Envoy takes failureModeAllow and
// failure_mode_allow alike.
func snake(key string) string {
	var b strings.Builder
	for _, r := range key {
		if 'A' <= r && r <= 'Z' && !strings.ContainsAny(key, "._-@/ ") {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
