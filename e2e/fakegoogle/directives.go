package fakegoogle

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// directives are what comments in the SQL ask of the stand-in:
//
//	-- fake:delay=500ms   the job takes this long
//	-- fake:rows=N        the result's rows are repeated to N rows, generated while they are sent,
//	                      in one page unless maxResults says otherwise
//	-- fake:pages         with fake:rows: cut into pages of 10 MB as Google does
//	-- fake:stall=10s     the body stops this long after half of the rows
//	-- fake:die           the body breaks off after half of the rows
//	-- fake:fail=REASON   the job fails for this reason of BigQuery's, with values of the first
//	                      row in the message
//	-- fake:columns=+NAME,-NAME,>NAME   the result has a column more, or less, or one comes last:
//	                      BigQuery changes the columns of the views of INFORMATION_SCHEMA ("we
//	                      recommend explicitly listing the columns to select")
//	-- fake:lists=A,B     what the job says that it read, in place of what it did:
//	                      project.dataset.table; none for no list
//	-- fake:cached        the job says that its result is a cached one, and names no tables
//	-- fake:chosen=A      the job says that it was answered from this materialized view
//	-- fake:accuracy=WORD the dry run is no better than this; with UNKNOWN and LOWER_BOUND it says
//	                      0 bytes
type directives struct {
	delay time.Duration // -1 if not given
	rows  int64         // -1 if not given
	pages bool
	stall time.Duration
	die   bool
	fail  string

	columns                 []string
	lists, chosen, accuracy string
	cached                  bool
}

var directive = regexp.MustCompile(`--[ \t]*fake:(\w+)(?:=(\S+))?`)

func parseDirectives(sql string) (directives, error) {
	d := directives{delay: -1, rows: -1}
	var err error
	for _, m := range directive.FindAllStringSubmatch(sql, -1) {
		switch m[1] {
		case "delay":
			d.delay, err = time.ParseDuration(m[2])
		case "rows":
			d.rows, err = strconv.ParseInt(m[2], 10, 64)
		case "pages":
			d.pages = true
		case "stall":
			d.stall, err = time.ParseDuration(m[2])
		case "die":
			d.die = true
		case "fail":
			if d.fail = m[2]; reasonCodes[d.fail] == 0 {
				err = errInvalid("no reason " + d.fail)
			}
		case "columns":
			d.columns = strings.Split(m[2], ",")
		case "lists":
			d.lists = m[2]
		case "cached":
			d.cached = true
		case "chosen":
			d.chosen = m[2]
		case "accuracy":
			d.accuracy = m[2]
		default:
			err = &apiError{Code: 400, Reason: "invalid", Message: "no directive fake:" + m[1]}
		}
		if err != nil {
			return d, errInvalid("-- fake:" + m[1] + ": " + err.Error())
		}
	}
	return d, nil
}

// reshape changes the columns of a result as the directive says.
func (d *directives) reshape(r *Result) {
	for _, change := range d.columns {
		name := change[1:]
		at := slices.IndexFunc(r.Schema, func(f bigquery.Field) bool { return f.Name == name })
		if change[0] == '+' {
			r.Schema = append(r.Schema, bigquery.Field{Name: name, Type: "STRING", Mode: "NULLABLE"})
			for i := range r.Rows {
				r.Rows[i] = append(slices.Clone(r.Rows[i]), "new")
			}
			continue
		}
		if at < 0 {
			continue
		}
		field := r.Schema[at]
		r.Schema = slices.Delete(slices.Clone(r.Schema), at, at+1)
		for i := range r.Rows {
			cell := r.Rows[i][at]
			r.Rows[i] = slices.Delete(slices.Clone(r.Rows[i]), at, at+1)
			if change[0] == '>' {
				r.Rows[i] = append(r.Rows[i], cell)
			}
		}
		if change[0] == '>' {
			r.Schema = append(r.Schema, field)
		}
	}
}
