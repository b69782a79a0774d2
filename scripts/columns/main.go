// Command columns finds lines that are too long to be read side by side: comments and Markdown over
// 100 columns, code over 140. It takes the folder to look through, prints FILE:LINE: WIDTH a
// finding, and exits 1 if there is one. A tab counts as four columns.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	widestComment = 100
	widestCode    = 140
	tab           = 4
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	found := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			// Built, data of tests as it is elsewhere, and the programs of clients in their
			// languages.
			case "build", ".git", "testdata", "node_modules", "clients":
				return fs.SkipDir
			}
			return nil
		}
		check := checkerOf(path)
		if check == nil || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, f := range check(text) {
			fmt.Printf("%s:%d: %s\n", name, f.line, f.what)
			found++
		}
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "columns:", err)
		os.Exit(2)
	}
	if found > 0 {
		os.Exit(1)
	}
}

type finding struct {
	line int
	what string
}

func checkerOf(path string) func([]byte) []finding {
	switch name := filepath.Base(path); {
	case strings.HasSuffix(name, ".go"):
		return goFile
	case strings.HasSuffix(name, ".md"):
		return markdown
	case strings.HasSuffix(name, ".sh"), name == "Makefile":
		return script
	case strings.HasSuffix(name, ".yaml"):
		return yamlFile
	}
	return nil
}

func width(line string) int {
	n := 0
	for _, r := range line {
		if r == '\t' {
			n += tab - 1
		}
		n++
	}
	return n
}

// generated is the line by which Go's tools know a file that nobody writes
// (https://go.dev/s/generatedcode).
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// goFile checks comments and code. Not held to the limits: generated files; text inside a raw
// string, which is data in the form that it has elsewhere; a struct tag, which Go has on one line;
// a directive; and what cannot be broken, such as a long URL.
func goFile(text []byte) []finding {
	if generated.Match(text) {
		return nil
	}
	inside := map[int]token.Token{} // what a line begins inside of, or consists of
	tagged := map[int]bool{}
	set := token.NewFileSet()
	file := set.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, scanner.ScanComments)
	for before := token.ILLEGAL; ; {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			break
		}
		first := file.Line(pos)
		last := first + strings.Count(lit, "\n")
		switch {
		case tok == token.COMMENT && alone(text, file.Offset(pos)):
			for l := first; l <= last; l++ {
				inside[l] = token.COMMENT
			}
		case tok == token.STRING && lit[0] == '`':
			for l := first; l <= last && last > first; l++ {
				inside[l] = token.STRING
			}
			// A raw string behind a type, with no operator between, is a tag.
			tagged[first] = tagged[first] ||
				before == token.IDENT || before == token.RBRACK || before == token.RBRACE || before == token.RPAREN
		}
		if tok != token.SEMICOLON || lit != "\n" {
			before = tok
		}
	}
	return lines(text, func(n int, _ string) int {
		switch {
		case inside[n] == token.COMMENT:
			return widestComment
		case inside[n] == token.STRING || tagged[n]:
			return 0
		}
		return widestCode
	})
}

// alone says whether nothing but blanks stands before an offset on its line.
func alone(text []byte, offset int) bool {
	begin := bytes.LastIndexByte(text[:offset], '\n') + 1
	return len(bytes.TrimSpace(text[begin:offset])) == 0
}

// markdown checks text. Not held to the limit: headings, and rows of tables, which are one line
// each; code blocks, which show lines as they are printed or typed; and what cannot be broken, such
// as a long link.
func markdown(text []byte) []finding {
	code := false
	return lines(text, func(_ int, line string) int {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			code = !code
			return 0
		}
		if code || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "#") {
			return 0
		}
		return widestComment
	})
}

// yamlFile checks comments. Values are data: what is long in them is a sentence for people.
func yamlFile(text []byte) []finding {
	return lines(text, func(_ int, line string) int {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			return widestComment
		}
		return 0
	})
}

// script checks shell scripts and make files.
func script(text []byte) []finding {
	return lines(text, func(_ int, line string) int {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			return widestComment
		}
		return widestCode
	})
}

// lines finds those that are wider than limit says; 0 says that a line is not held to any.
func lines(text []byte, limit func(n int, line string) int) []finding {
	var out []finding
	in := bufio.NewScanner(bytes.NewReader(text))
	in.Buffer(nil, len(text)+1)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		most := limit(n, line)
		if most == 0 || width(line) <= most || !breakable(line) {
			continue
		}
		out = append(out, finding{n, fmt.Sprintf("%d columns, and the most is %d", width(line), most)})
	}
	return out
}

var (
	marker    = regexp.MustCompile(`^\s*(//|#+|[-*>]|[0-9]+\.)?\s*`)
	directive = regexp.MustCompile(`^\s*//([a-z]+:[a-z]|nolint)`)
)

// breakable says whether a line has a blank at which it could be broken.
func breakable(line string) bool {
	return !directive.MatchString(line) && strings.ContainsAny(strings.TrimSpace(line[len(marker.FindString(line)):]), " \t")
}
