package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// stepLog reads the lines that `bqgate serve` logs about decisions and answers, from where it was
// opened.
type stepLog struct {
	path string
	from int64
}

// logLine is a line about one decision or one answer.
type logLine struct {
	Message string        `json:"msg"`
	Took    time.Duration `json:"took"`
	Steps   stepTimes     `json:"steps"`
}

// stepTimes keeps the order of the steps, which a map would lose.
type stepTimes []stepTime

type stepTime struct {
	name string
	took time.Duration
}

func (s *stepTimes) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("steps: %q is not an object", text)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var took time.Duration
		if err := d.Decode(&took); err != nil {
			return fmt.Errorf("step %v: %w", name, err)
		}
		*s = append(*s, stepTime{fmt.Sprint(name), took})
	}
	return nil
}

func (l logLine) step(name string) time.Duration {
	for _, s := range l.Steps {
		if s.name == name {
			return s.took
		}
	}
	return 0
}

func (b *bench) openLog() (*stepLog, error) {
	path := b.Path("demo/bqgate.log")
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &stepLog{path, info.Size()}, nil
}

// lines returns what was logged since the log was opened. It waits a moment for the last answer's
// line, which is written after the client has its answer.
func (l *stepLog) lines() ([]logLine, error) {
	time.Sleep(200 * time.Millisecond)
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, l.from, 1<<40))
	if err != nil {
		return nil, err
	}
	var out []logLine
	for line := range bytes.Lines(text) {
		var parsed logLine
		if err := json.Unmarshal(line, &parsed); err != nil {
			return nil, fmt.Errorf("%s: %w in %q", l.path, err, line)
		}
		if parsed.Message == "decision" || parsed.Message == "answer" {
			out = append(out, parsed)
		}
	}
	return out, nil
}

// stepMedians is the median of each step, in the order in which they come.
func stepMedians(lines []logLine, message string) []stepTime {
	var names []string
	took := map[string][]time.Duration{}
	for _, l := range lines {
		if l.Message != message {
			continue
		}
		for _, s := range l.Steps {
			if !slices.Contains(names, s.name) {
				names = append(names, s.name)
			}
			took[s.name] = append(took[s.name], s.took)
		}
	}
	out := make([]stepTime, len(names))
	for i, n := range names {
		out[i] = stepTime{n, median(took[n])}
	}
	return out
}
