package googlesql

import (
	"fmt"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

func BenchmarkEmpty(b *testing.B) {
	p := testPool(b)
	for b.Loop() {
		p.ask(b.Context(), "x", &wire.Request{})
	}
}
func BenchmarkParseOnly(b *testing.B) {
	p := testPool(b)
	for i := 0; b.Loop(); i++ {
		p.ask(b.Context(), "x", &wire.Request{Parse: &wire.ParseRequest{SQL: fmt.Sprintf("SELECT name, ssn FROM crm.customers WHERE id = %d", i), MaxDepth: 100, MaxNodes: 1000, MaxStatements: 9}})
	}
}
func BenchmarkAnalyzeOnly(b *testing.B) {
	p := testPool(b)
	for _, id := range benchmarkCatalog {
		fmt.Println(id.TableReference)
	}
	var t []wire.Table
	for _, x := range benchmarkCatalog {
		d, _ := describe(x)
		t = append(t, d)
	}
	for i := 0; b.Loop(); i++ {
		r, err := p.ask(b.Context(), "x", &wire.Request{Analyze: &wire.AnalyzeRequest{SQL: fmt.Sprintf("SELECT name, ssn FROM crm.customers WHERE id = %d", i), Tables: t, Project: "demo", MaxColumns: 100}})
		if err != nil || r.Error != nil {
			b.Fatal(err, r)
		}
	}
}
