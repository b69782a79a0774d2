package googlesql

import "slices"

// reaches says whether the caller may know of a name.
func (q *Query) reaches(name string) bool { return q.Reach == nil || q.Reach(name) }

// closes says whether the text of an analysis names something that the caller may not know of.
func (q *Query) closes(a *Analysis) bool {
	for i := range a.Statements {
		if slices.ContainsFunc(a.Statements[i].Named, func(name string) bool { return !q.reaches(name) }) {
			return true
		}
	}
	return false
}

// closedKey is where the outline of a text is kept that names something outside of the caller's
// reach. Each caller has one of their own: that somebody else has asked the same must not show in
// the time an answer takes, since only those who may read a table ask for it again and again.
func (q *Query) closedKey(key string) string { return digest(key, "closed", q.Caller) }

// within says whether everything that a known analysis rests on is within the caller's reach.
// Otherwise it is beyond their reach, and is not even looked at again.
func (e *entry) within(q Query) bool {
	for id := range e.tables {
		if !q.reaches(id.String()) {
			return false
		}
	}
	for id := range e.routines {
		if !q.reaches(id.String() + "()") {
			return false
		}
	}
	return !q.closes(e.analysis)
}

// admit ends the analysis of a text that has names outside of the caller's reach. It comes before
// the catalog is asked about any of them. Of a view's or a function's text the names are kept for
// those who may mend the policy.
func (j *job) admit(names []string) *Error {
	var closed []string
	for _, name := range names {
		if !j.query.reaches(name) {
			closed = append(closed, name)
		}
	}
	if len(closed) == 0 {
		return nil
	}
	if len(j.within) > 0 {
		for _, name := range closed {
			if !slices.Contains(j.behind, name) {
				j.behind = append(j.behind, name)
			}
		}
	}
	return &Error{Code: ErrorClosed, Message: "something that the SQL names does not exist, or who asks may not know of it"}
}
