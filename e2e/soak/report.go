package soak

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a soak found.
type Report struct {
	Findings []string

	head    string
	faults  []felled
	actions []acted
	trends  []trend
	tail    []string
}

// felled is a fault with what callers met while it lasted, and until it was well.
type felled struct {
	name                 string
	times                int
	longest              time.Duration // from its end until a query passed
	before               time.Duration // that a query took before it, at the longest
	bound                time.Duration
	fault, broken, amiss int
	words                map[string]int
}

type acted struct {
	name string
	count
}

// amiss notes something about an answer that nobody should get while all is well.
func (n *notes) amiss(a answer, what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, event{a.action, a.begin, a.end, what})
}

// report sums up what was met, and judges what was met outside of faults.
func (s *Soak) report() *Report {
	s.notes.mu.Lock()
	defer s.notes.mu.Unlock()
	r := &Report{}
	by := map[string]*felled{}
	for _, k := range s.struck {
		f := by[k.Fault.Name()]
		if f == nil {
			f = &felled{name: k.Fault.Name(), bound: k.Fault.Well, words: map[string]int{}}
			by[k.Fault.Name()] = f
		}
		f.times++
		f.longest, f.before = max(f.longest, k.Took), max(f.before, k.Before)
	}
	outside := map[string]int{}
	for _, e := range s.notes.events {
		at := len(s.struck) - 1 // the last one that it may come from
		for at >= 0 && !(e.end.After(s.struck[at].From) && e.begin.Before(s.struck[at].Till.Add(s.struck[at].Fault.Well))) {
			at--
		}
		if at < 0 {
			outside[fmt.Sprintf("%q: %s", e.action, e.what)]++
			continue
		}
		f := by[s.struck[at].Fault.Name()]
		switch {
		case strings.HasPrefix(e.what, "broken off"):
			f.broken++
		case strings.HasPrefix(e.what, "5"):
			f.fault++
		default:
			f.amiss++
		}
		f.words[e.what]++
	}
	for _, what := range slices.Sorted(maps.Keys(outside)) {
		text := fmt.Sprintf("outside of any fault, %d times: %s", outside[what], what)
		if !s.Untimed {
			s.notes.findings = append(s.notes.findings, text)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		r.faults = append(r.faults, *by[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.notes.counts)) {
		r.actions = append(r.actions, acted{name, *s.notes.counts[name]})
	}
	r.trends = s.growth.trends()
	for _, t := range r.trends {
		if t.grows() && !s.Untimed {
			s.notes.findings = append(s.notes.findings, fmt.Sprintf("%s grew by %.1f %s in %s; %.1f may be", t.what, t.rise, t.unit,
				t.life.Round(time.Second), t.bound))
		}
	}
	r.head = fmt.Sprintf(
		"%s, %d cores, %s/%s, %s, %s; seed %d, %d callers, each with a request every %s, a fault every %s for %s",
		time.Now().Format(
			"2006-01-02",
		),
		runtime.NumCPU(),
		runtime.GOOS,
		runtime.GOARCH,
		runtime.Version(),
		&s.busy,
		s.Seed,
		s.Callers,
		s.Pause,
		s.Every,
		s.Length,
	)
	r.tail = append(r.tail, fmt.Sprintf("%d answers, %d MB; the slowest took %s", s.notes.answers, s.notes.bytes>>20,
		s.notes.slowest.Round(time.Millisecond)))
	return r
}

// conclude adds what was found at the end.
func (s *Soak) conclude(r *Report) {
	s.notes.mu.Lock()
	defer s.notes.mu.Unlock()
	r.Findings = s.notes.findings
	if s.notes.more > 0 {
		r.Findings = append(r.Findings, fmt.Sprintf("and %d more", s.notes.more))
	}
	r.tail = append(r.tail, "journal: "+s.journal)
}

// Write prints all in one table.
func (r *Report) Write(out io.Writer) error {
	fmt.Fprintf(out, "\n%s\n\n", r.head)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| fault\t| times\t| well again within\t| stated\t| a query before\t| 5xx\t| broken off\t| otherwise\t| mostly\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, f := range r.faults {
		fmt.Fprintf(w, "| %s\t| %d\t| %.1f s\t| %.0f s\t| %.1f s\t| %d\t| %d\t| %d\t| %s\t|\n", f.name, f.times,
			f.longest.Seconds(), f.bound.Seconds(), f.before.Seconds(), f.fault, f.broken, f.amiss, mostly(f.words))
	}
	fmt.Fprintln(w, "| **request**\t| **served**\t| **refused**\t|\t|\t| **5xx**\t| **broken off**\t| **left**\t|\t|")
	for _, a := range r.actions {
		fmt.Fprintf(w, "| %s\t| %d\t| %d\t|\t|\t| %d\t| %d\t| %d\t|\t|\n", a.name, a.ok, a.refused, a.fault, a.broken, a.left)
	}
	fmt.Fprintln(w, "| **measure**\t| **mean**\t| **most**\t| **measured**\t| **grew**\t| **may grow**\t|\t|\t|\t|")
	for _, t := range r.trends {
		measured := "too short"
		if t.life > 0 {
			measured = t.life.Round(time.Second).String()
		}
		fmt.Fprintf(w, "| %s\t| %.1f %s\t| %.1f\t| %s\t| %+.1f\t| %.1f\t|\t|\t|\t|\n", t.what, t.mean, t.unit, t.top, measured, t.rise,
			t.bound)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, line := range r.tail {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "%d findings\n", len(r.Findings))
	for _, f := range r.Findings {
		fmt.Fprintln(out, "- "+f)
	}
	return nil
}

func mostly(words map[string]int) string {
	most := ""
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if most == "" || words[word] > words[most] {
			most = word
		}
	}
	return strings.ReplaceAll(most, "|", "/")
}
