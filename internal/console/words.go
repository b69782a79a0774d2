package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
)

// tablesOf names what is read in a line; the page of a request lists the rest.
func tablesOf(r approvals.Request) string { return someTables(r.Tables, r.Project) }

const tablesNamed = 3

func someTables(all []string, project string) string {
	if len(all) == 0 {
		return "no table"
	}
	names := make([]string, 0, tablesNamed)
	for _, t := range all[:min(len(all), tablesNamed)] {
		names = append(names, short(t, project))
	}
	text := strings.Join(names, ", ")
	if more := len(all) - tablesNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func costOf(r approvals.Request) string {
	if r.EstimatedBytes == nil {
		return "cost not known"
	}
	text := sizeOf(*r.EstimatedBytes)
	if r.EstimatedCost != nil {
		text += ", " + moneyOf(*r.EstimatedCost, r.Currency)
	}
	return text
}

func sizeOf(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(bytes), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + units[i]
}

func moneyOf(amount float64, currency string) string {
	sign := currency + " "
	if currency == "USD" {
		sign = "$"
	}
	if amount < 0.01 {
		return "under " + sign + "0.01"
	}
	return fmt.Sprintf("about %s%.2f", sign, amount)
}

// left is how long until a time, in words that change once a minute.
func left(until, now time.Time) string {
	d := until.Sub(now)
	switch {
	case d <= 0:
		return "over"
	case d < time.Minute:
		return "less than a minute"
	default:
		return hours(int((d + time.Minute - 1) / time.Minute))
	}
}

// hours is a time in words; console.js spells it the same way.
func hours(minutes int) string {
	switch h, m := minutes/60, minutes%60; {
	case h == 0:
		return plural(m, "minute")
	case m == 0 || h >= 48:
		return plural(h, "hour")
	default:
		return fmt.Sprintf("%d h %d min", h, m)
	}
}

// ago is how long since a time.
func ago(at, now time.Time) string {
	d := now.Sub(at)
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return plural(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour") + " ago"
	default:
		return at.UTC().Format("2 January 2006")
	}
}

// within is a time in words, as a limit.
func within(seconds int) string {
	return hours((seconds + 59) / 60)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func clock(t time.Time) string { return t.UTC().Format("15:04 UTC, 2 January") }

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// stateWord is a state as people say it.
func stateWord(s string) string {
	if s == string(approvals.StatePending) {
		return "waiting"
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "nobody is known"
	}
	return s
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
