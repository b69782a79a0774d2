package engine

import (
	_ "unsafe" // for go:linkname

	gsql "github.com/goccy/go-googlesql"
)

// The binding releases C++ objects in finalizers only, and Go's collector does not feel the
// engine's heap: without these, memory grows to gigabytes. The methods exist in the binding but are
// not exported; each may be called more than once.

//go:linkname freeAnalyzerOutput github.com/goccy/go-googlesql.(*AnalyzerOutput).free
func freeAnalyzerOutput(*gsql.AnalyzerOutput)

//go:linkname freeParserOutput github.com/goccy/go-googlesql.(*ParserOutput).free
func freeParserOutput(*gsql.ParserOutput)

//go:linkname freeParserOptions github.com/goccy/go-googlesql.(*ParserOptions).free
func freeParserOptions(*gsql.ParserOptions)

//go:linkname freeAnalyzerOptions github.com/goccy/go-googlesql.(*AnalyzerOptions).free
func freeAnalyzerOptions(*gsql.AnalyzerOptions)
