package googlesql

import (
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// ahead is the answer to a question that the job has not asked yet. With the question for a text's
// outline a worker is sent the tables that the text seems to name, as they were last read. If the
// text is a plain SELECT from just these, the worker analyses it at once, before the job has looked
// at the outline. Nothing is taken from the guess: the job works out its own question, and the
// answer counts only if it is to that very question.
type ahead struct {
	ask    *wire.AnalyzeQuestion // as it was sent: all tables of the guess, no SQL
	reply  *wire.Reply           // nil where it failed
	failed error
}

// analyzed asks what a statement means, unless that has been answered.
func (j *job) analyzed(question *wire.AnalyzeQuestion, foreseen *ahead) (*wire.Reply, error) {
	switch {
	case foreseen == nil:
	case foreseen.failed != nil:
		return nil, foreseen.failed
	case foreseen.answers(question):
		return foreseen.reply, nil
	}
	a, err := j.pool.ask(j.ctx, j.query.turn(), &wire.Question{Analyze: question}, &j.spent)
	if err == nil && a.reply.More { // an analysis is all there is to say
		return nil, errFailed()
	}
	return a.reply, err
}

// answers reports whether the answer is to this question. Everything that is not compared is the
// same by construction (see question).
func (a *ahead) answers(question *wire.AnalyzeQuestion) bool {
	if len(question.Functions)+len(question.TableFunctions)+len(question.Unnests) > 0 || question.Undeclared != "" ||
		len(question.Tables) != len(a.reply.Given) {
		return false
	}
	sent := make(map[string]string, len(a.ask.Tables))
	for i := range a.ask.Tables {
		sent[a.ask.Tables[i].Name] = a.ask.Tables[i].Digest
	}
	for i := range question.Tables { // sorted, as Given
		if t := &question.Tables[i]; t.Name != a.reply.Given[i] || t.Digest != sent[t.Name] {
			return false
		}
	}
	return true
}

// question is what all questions about statements of the text have in common.
func (j *job) question() wire.AnalyzeQuestion {
	ask := wire.AnalyzeQuestion{Project: j.query.Project, Named: j.named, Positional: j.positional, MaxColumns: j.limits.Columns,
		Shapes: len(j.within) > 0}
	if d := j.query.DefaultDataset; d != nil {
		ask.Dataset = d.ProjectID + "." + d.DatasetID
	}
	return ask
}

// foresee is the question that a job will most likely ask about its text; nil where it would not be
// this one.
func (j *job) foresee() *wire.AnalyzeQuestion {
	if j.query.Undeclared || j.body != "" || j.badParameters != nil {
		return nil
	}
	ask := j.question()
	seen := map[bigquery.TableID]bool{}
	mentioned(j.query.SQL, j.query.Project, j.query.DefaultDataset, func(id bigquery.TableID) {
		if seen[id] || len(ask.Tables) >= j.limits.Tables || !j.query.reaches(id.String()) {
			return // what the worker is told of makes its answer later
		}
		if t, ok := j.shelf.described(id); ok {
			seen[id] = true
			ask.Tables = append(ask.Tables, t)
		}
	})
	return &ask
}

// mentioned calls found with whatever in a text could be the name of a table, completed as tableID
// does: words and back-quoted words with dots between them. It knows nothing of comments, strings
// and syntax, so it finds too much, and not every name that is there.
func mentioned(text, project string, dataset *bigquery.DatasetReference, found func(bigquery.TableID)) {
	var parts []string
	for i := 0; i < len(text); {
		if !inName(text[i]) && text[i] != '`' {
			i++
			continue
		}
		parts = parts[:0]
		for more := true; more; {
			if text[i] == '`' {
				end := strings.IndexByte(text[i+1:], '`')
				if end < 0 {
					return
				}
				parts = append(parts, strings.Split(text[i+1:i+1+end], ".")...)
				i += end + 2
			} else {
				from := i
				for i < len(text) && inName(text[i]) {
					i++
				}
				parts = append(parts, text[from:i])
			}
			more = i+1 < len(text) && text[i] == '.' && (inName(text[i+1]) || text[i+1] == '`')
			if more {
				i++
			}
		}
		switch {
		case len(parts) == 1 && dataset != nil:
			found(bigquery.TableID{Project: dataset.ProjectID, Dataset: dataset.DatasetID, Table: parts[0]})
		case len(parts) == 2:
			found(bigquery.TableID{Project: project, Dataset: parts[0], Table: parts[1]})
		case len(parts) == 3:
			found(bigquery.TableID{Project: parts[0], Dataset: parts[1], Table: parts[2]})
		}
	}
}

func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '*' || c >= 0x80
}
