// Package functions is bqgate's table of the functions of BigQuery: which there are, which are
// refused and why, and what calling one on a value can tell. It is data (functions.tsv); a function
// that is not in it is refused. It links nothing of the engine.
package functions

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed functions.tsv
var table string

// Function is what is known of one function. The zero Function may do anything.
type Function struct {
	Name      string // upper case; operators by the engine's name, with a dollar sign
	Total     bool   // raises an error for no value, and takes about as long for one as for another of its size
	Length    bool   // its result tells the length of its argument and nothing else
	Count     bool   // as an aggregate of a bare column, its result tells how many values there are and nothing else
	Generated bool   // reads no value: the system chooses the result
	Account   bool   // its result is the account that the query runs under
	Refused   string // why it is never analysed; "" for one that is
	Analytic  bool   // takes OVER(); said only of declared ones
	Declared  string // for a function that the engine lacks: parameters and result, as CREATE FUNCTION spells them
}

// known are the functions by name; families are those of a whole name space, by "NAME.".
var known, families = parse(table)

// Lookup finds a function by its name, in any case, with the dots of its name space. Unknown ones
// are not ok.
func Lookup(name string) (f Function, ok bool) {
	upper := name
	if !strings.HasPrefix(name, "$") {
		upper = strings.ToUpper(name)
	}
	if f, ok = known[upper]; ok {
		return f, true
	}
	if space, _, dotted := strings.Cut(upper, "."); dotted {
		if f, ok = families[space+"."]; ok {
			f.Name = upper
			return f, true
		}
	}
	return Function{}, false
}

// All are the functions of the table in the order of their names, without those that are known by
// their name space only.
func All() []Function {
	return slices.SortedFunc(maps.Values(known), func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
}

// Refusal is the sentence that refuses a function, "" for one that is analysed. It names the
// function.
func Refusal(name string) string {
	f, ok := Lookup(name)
	switch {
	case !ok:
		return fmt.Sprintf("the function %s is not known to bqgate", strings.ToUpper(name))
	case f.Refused != "":
		return fmt.Sprintf("the function %s is not supported: %s", strings.ToUpper(name), f.Refused)
	default:
		return ""
	}
}

func parse(text string) (known, families map[string]Function) {
	known, families = map[string]Function{}, map[string]Function{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, "\t")
		if len(parts) < 2 || len(parts) > 3 {
			panic(fmt.Sprintf("functions.tsv: %q has %d parts", line, len(parts)))
		}
		var f Function
		detail := ""
		if len(parts) == 3 {
			detail = parts[2]
		}
		for _, class := range strings.Split(parts[1], ",") {
			switch class {
			case "total":
				f.Total = true
			case "length":
				f.Length = true
			case "count":
				f.Count = true
			case "generated":
				f.Generated = true
			case "account":
				f.Account = true
			case "analytic":
				f.Analytic = true
			case "partial":
			case "refused":
				if f.Refused = detail; detail == "" {
					panic(fmt.Sprintf("functions.tsv: %q has no reason", line))
				}
			default:
				panic(fmt.Sprintf("functions.tsv: %q has the unknown class %q", line, class))
			}
		}
		if f.Refused == "" && detail != "" {
			if f.Declared = detail; !strings.HasPrefix(detail, "(") {
				panic(fmt.Sprintf("functions.tsv: %q has the odd declaration %q", line, detail))
			}
		}
		for _, name := range strings.Fields(parts[0]) {
			f.Name = name
			into, key := known, name
			if space, ok := strings.CutSuffix(name, "*"); ok {
				into, key = families, space
			}
			if _, twice := into[key]; twice {
				panic("functions.tsv: " + name + " is there twice")
			}
			into[key] = f
		}
	}
	return known, families
}
