package engine

import (
	"fmt"
	"testing"

	gsql "github.com/goccy/go-googlesql"
)

// BenchmarkBareAnalyzeStatement is the floor of an analysis: the engine alone, on SQL that it has
// not seen, with the table in its catalog.
func BenchmarkBareAnalyzeStatement(b *testing.B) {
	e, err := shared()
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		sql := fmt.Sprintf("SELECT id, ssn FROM d.people WHERE id = %d LIMIT 3", i)
		e.prepare(ask(sql).Analyze)
		output, err := gsql.AnalyzeStatement(sql, e.options, e.catalog, e.factory)
		if err != nil {
			b.Fatal(err)
		}
		freeAnalyzerOutput(output)
	}
}

// BenchmarkAnswer is what a worker does with the same SQL: outline, analysis, lineage and its
// checks, without the pipe.
func BenchmarkAnswer(b *testing.B) {
	e, err := shared()
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if reply := answer(e, ask(fmt.Sprintf("SELECT id, ssn FROM d.people WHERE id = %d LIMIT 3", i))); reply.Error != nil {
			b.Fatal(reply.Error)
		}
	}
}
