package soak

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

// growth is what was measured of memory, descriptors, goroutines and the disk.
type growth struct {
	mu     sync.Mutex
	series map[string]*series // by what and the process's life
}

// series is one measure of one process, while it lived.
type series struct {
	what   string
	unit   string
	slack  float64 // growth over the whole that means nothing
	points []point
}

type point struct {
	at    time.Time
	value float64
}

const (
	sampleEvery = 5 * time.Second
	// A process is new for so long: its caches fill, and its pools.
	warmUp = time.Minute
	// Less than this says nothing about growth.
	shortest = 2 * time.Minute
	// What may be more at the end of the longest life than at its beginning, by the line of least
	// squares: this part of the mean, or the measure's own slack if that is more.
	mayGrow = 0.25
)

// watch measures until ctx ends.
//
// callers is how many keep a connection or two of their own with Envoy.
func (g *growth) watch(ctx context.Context, w *world, n *notes, callers int) {
	var answersBefore, journalBefore, logsBefore, redisBefore int64
	for ; ctx.Err() == nil; pause(ctx, sampleEvery) {
		now := time.Now()
		for part, pids := range w.processes() {
			if part == "sqlengine" || part == "" {
				continue // a stand-in
			}
			var memory, descriptors float64
			life := ""
			for _, pid := range pids {
				if bytes, err := system.Resident(pid); err == nil {
					memory += float64(bytes)
				}
				if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
					descriptors += float64(len(open))
				}
				life += "/" + strconv.Itoa(pid)
			}
			if part == "sql worker" {
				life = "" // they are replaced one by one
			}
			g.add(part+": memory", life, "MiB", 96, now, memory/(1<<20))
			slack := 64.0
			if part == "envoy" {
				slack += float64(callers)
			}
			g.add(part+": descriptors", life, "", slack, now, descriptors)
			if part == "bqgate" && w.Info.Ops != "" {
				if count, err := goroutines(ctx, w.Info.Ops); err == nil {
					g.add("bqgate: goroutines", life, "", 300, now, count)
				}
			}
		}
		answers, _ := n.total()
		journal, logs, redis := size(w.Info.AuditDir), sizeOfLogs(w), w.redis.used(ctx)
		if more := answers - answersBefore; answersBefore > 0 && more > 10 {
			g.add("disk: journal for an answer", "", "KiB", 4, now, float64(journal-journalBefore)/float64(more)/1024)
			g.add("disk: logs for an answer", "", "KiB", 2, now, float64(logs-logsBefore)/float64(more)/1024)
			g.add("Redis: memory for an answer", "", "KiB", 2, now, float64(redis-redisBefore)/float64(more)/1024)
		}
		answersBefore, journalBefore, logsBefore, redisBefore = answers, journal, logs, redis
	}
}

func (g *growth) add(what, life, unit string, slack float64, at time.Time, value float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.series == nil {
		g.series = map[string]*series{}
	}
	s := g.series[what+life]
	if s == nil {
		s = &series{what: what, unit: unit, slack: slack}
		g.series[what+life] = s
	}
	s.points = append(s.points, point{at, value})
}

func goroutines(ctx context.Context, ops string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ops+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			return strconv.ParseFloat(text, 64)
		}
	}
	return 0, fmt.Errorf("%s/metrics has no go_goroutines", ops)
}

func size(dir string) (n int64) {
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		} else if err == nil && info.IsDir() {
			n += size(f)
		}
	}
	return n
}

func sizeOfLogs(w *world) (n int64) {
	files, _ := filepath.Glob(w.Path("demo/*.log"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			n += info.Size()
		}
	}
	return n
}

// trend is a line of the table: how a measure went over the longest life that it was measured in.
type trend struct {
	what, unit             string
	life                   time.Duration // 0 where no life was long enough
	mean, rise, bound, top float64
}

func (t trend) grows() bool { return t.life > 0 && t.rise > t.bound }

// trends are the measures by name.
func (g *growth) trends() []trend {
	g.mu.Lock()
	defer g.mu.Unlock()
	longest := map[string]trend{}
	for _, s := range g.series {
		t := s.trend()
		if had, ok := longest[s.what]; !ok || t.life > had.life {
			longest[s.what] = t
		}
	}
	var all []trend
	for _, t := range longest {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b trend) int { return strings.Compare(a.what, b.what) })
	return all
}

func (s *series) trend() trend {
	t := trend{what: s.what, unit: s.unit}
	for _, p := range s.points {
		t.top = max(t.top, p.value)
	}
	from := slices.IndexFunc(s.points, func(p point) bool { return p.at.Sub(s.points[0].at) >= warmUp })
	if from < 0 {
		return t
	}
	points := s.points[from:]
	life := points[len(points)-1].at.Sub(points[0].at)
	if life < shortest {
		return t
	}
	var x, y []float64
	for _, p := range points {
		x, y = append(x, p.at.Sub(points[0].at).Seconds()), append(y, p.value)
	}
	slope, mean := line(x, medians(y))
	t.life, t.mean, t.rise = life, mean, slope*life.Seconds()
	t.bound = max(mayGrow*math.Abs(mean), s.slack)
	return t
}

// medians is each value as the median of its neighbourhood: a garbage collector's teeth and the
// moments of a fault are no growth.
func medians(y []float64) []float64 {
	const reach = 3
	out := make([]float64, len(y))
	for i := range y {
		near := slices.Sorted(slices.Values(y[max(0, i-reach):min(len(y), i+reach+1)]))
		out[i] = near[len(near)/2]
	}
	return out
}

// line is the line of least squares: its slope, and the mean of y.
func line(x, y []float64) (slope, mean float64) {
	var sx, sy, sxx, sxy float64
	n := float64(len(x))
	for i := range x {
		sx, sy = sx+x[i], sy+y[i]
		sxx, sxy = sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	if d := n*sxx - sx*sx; d != 0 {
		slope = (n*sxy - sx*sy) / d
	}
	return slope, sy / max(n, 1)
}
