package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/bqgate/bqgate/internal/spelling"
)

// decode fills c from the text of a file, as far as it can, and returns everything that is wrong
// with the text's form: a key that is not known, a value of another type. What is missing is
// check's concern.
func decode(path string, text []byte, c *Config) []error {
	name := filepath.Base(path)
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return []error{formError(name, err)}
	}
	var root ast.Node
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if root != nil {
			return []error{fmt.Errorf("%s:%d: a configuration is one YAML document", name, d.Body.GetToken().Position.Line)}
		}
		root = d.Body
	}
	if root == nil {
		return []error{fmt.Errorf("%s is empty; it begins with `version: %s`", name, Version)}
	}
	s := strict{name: name}
	s.walk(root, reflect.TypeFor[Config](), "")
	if err := yaml.NodeToValue(root, c); err != nil {
		s.wrong = append(s.wrong, s.sections(root, c, err)...)
	}
	return s.wrong
}

// sections decodes each top-level value by itself, so that one mistake does not hide those of other
// sections.
func (s *strict) sections(root ast.Node, c *Config, whole error) []error {
	m, ok := root.(ast.MapNode)
	if !ok {
		return []error{formError(s.name, whole)}
	}
	var wrong []error
	v := reflect.ValueOf(c).Elem()
	for pairs := m.MapRange(); pairs.Next(); {
		key, ok := pairs.Key().(*ast.StringNode)
		if !ok {
			continue
		}
		if i, known := fields(v.Type())[key.Value]; known {
			if err := yaml.NodeToValue(pairs.Value(), v.Field(i).Addr().Interface()); err != nil {
				var located yaml.Error
				if !errors.As(err, &located) { // such as that of a duration: the place is the section's
					err = fmt.Errorf("in %s, from line %d: %w", key.Value, key.GetToken().Position.Line, err)
				}
				wrong = append(wrong, formError(s.name, err))
			}
		}
	}
	if len(wrong) == 0 { // it is only wrong as a whole
		return []error{formError(s.name, whole)}
	}
	return wrong
}

// formError shows a mistake of form with its place and an excerpt.
func formError(name string, err error) error {
	var located yaml.Error
	if errors.As(err, &located) {
		if t := located.GetToken(); t != nil && t.Position != nil {
			return fmt.Errorf("%s:%d:%d: %s", name, t.Position.Line, t.Position.Column, yaml.FormatError(err, false, true))
		}
	}
	return fmt.Errorf("%s: %s", name, yaml.FormatError(err, false, true))
}

// strict compares a YAML tree with the Go type that it fills.
type strict struct {
	name  string
	wrong []error
}

// fields are the keys of a struct, with the index of the field that each one fills.
func fields(t reflect.Type) map[string]int {
	all := map[string]int{}
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if key == "" {
				key = strings.ToLower(f.Name)
			}
			if key != "-" {
				all[key] = i
			}
		}
	}
	return all
}

// walk finds keys that are not known. path is that of the node, in dots.
func (s *strict) walk(n ast.Node, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		s.walk(n.Value, t, path)
		return
	case *ast.SequenceNode:
		if t.Kind() == reflect.Slice {
			for i, value := range n.Values {
				s.walk(value, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
			}
		}
		return
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		return
	}
	for pairs := m.MapRange(); pairs.Next(); {
		key, ok := pairs.Key().(*ast.StringNode)
		if !ok {
			continue
		}
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		switch t.Kind() {
		case reflect.Map:
			s.walk(pairs.Value(), t.Elem(), at)
		case reflect.Struct:
			if i, known := fields(t)[key.Value]; known {
				s.walk(pairs.Value(), t.Field(i).Type, at)
				continue
			}
			p := key.GetToken().Position
			s.wrong = append(s.wrong, fmt.Errorf("%s:%d:%d: unknown key %s%s", s.name, p.Line, p.Column, at,
				spelling.DidYouMean(key.Value, slices.Sorted(maps.Keys(fields(t))))))
		}
	}
}
