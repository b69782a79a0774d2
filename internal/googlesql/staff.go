package googlesql

import (
	"slices"
	"time"
)

// Who has which place, and which process is where. A process is idle, or in the hands of a question
// (take) until it is given back (release) or has to go (replace); in the place of one that has gone
// another is started (lose, replenish, welcome).

// mayRun reports whether a place may be given to a caller: one of several places is always left to
// the others.
func (l *lane) mayRun(caller string) bool {
	return l.taken < l.options.Workers && l.running[caller] < max(1, l.options.Workers-1)
}

// take gives a caller a place and an idle process.
func (l *lane) take(caller string) *process {
	l.wait.Add(1)
	l.taken++
	l.running[caller]++
	n := len(l.idle) - 1
	w := l.idle[n]
	l.idle = l.idle[:n]
	return w
}

// leave takes a place back.
func (l *lane) leave(caller string) {
	l.taken--
	if l.running[caller]--; l.running[caller] <= 0 {
		delete(l.running, caller)
	}
}

// dispatch hands idle workers to the next in turn.
func (l *lane) dispatch() {
	for len(l.idle) > 0 && !l.closed {
		t := l.queue.pop(l.mayRun)
		if t == nil {
			return
		}
		t.ready <- l.take(t.caller) // buffered
	}
}

// release takes a worker and the place back that a caller's question had, for the next in turn.
func (l *lane) release(w *process, caller string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(caller)
	if l.closed || w.ended() { // since it answered
		l.lose(w)
	} else {
		l.idle = append(l.idle, w)
	}
	l.dispatch()
}

// replace kills a worker that a caller's question had. The place is free again at once if there are
// processes enough for all places. If not, it stays with the caller until there are: a caller whose
// questions break workers must not take the workers of others.
func (l *lane) replace(w *process, caller string) {
	w.kill()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose(w)
	if len(l.alive) >= l.options.Workers-len(l.broken) {
		l.leave(caller)
	} else {
		l.broken = append(l.broken, caller)
	}
	l.dispatch()
}

// lose strikes a process off that nobody has any more, and has another started.
func (l *lane) lose(w *process) {
	delete(l.alive, w)
	w.hangUp()
	if !l.closed {
		l.replenish()
	}
}

// welcome takes a new process in.
func (l *lane) welcome(w *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		w.end()
		return
	}
	l.alive[w] = true
	l.idle = slices.Insert(l.idle, 0, w) // those that have worked are warm
	if len(l.broken) > 0 {
		l.leave(l.broken[0])
		l.broken = l.broken[1:]
	}
	l.dispatch()
	l.wait.Go(func() { // until it has ended: then nobody must wait for it in vain
		<-w.gone
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.idle, w); i >= 0 {
			l.idle = slices.Delete(l.idle, i, i+1)
			l.lose(w)
		}
	})
}

// replenish starts a process, again and again until one starts or the pool closes.
func (l *lane) replenish() {
	l.wait.Go(func() {
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			w, err := l.startProcess(l.life)
			if err == nil {
				l.welcome(w)
				return
			}
			select {
			case <-l.life.Done():
				return
			case <-time.After(pause):
			}
		}
	})
}

// Staff is how many workers live and how many are asked something just now, and how many questions
// wait for one.
type Staff struct{ Alive, Busy, Waiting int }

// Staff counts them in the first lane, which all statements need.
func (p *Pool) Staff() Staff { return p.fast.staff() }

// SlowStaff counts them in the lane of statements that take long.
func (p *Pool) SlowStaff() Staff {
	if p.slow == nil {
		return Staff{}
	}
	return p.slow.staff()
}

func (l *lane) staff() Staff {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Staff{Alive: len(l.alive), Busy: l.taken, Waiting: l.queue.size}
}
