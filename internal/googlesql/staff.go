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
func (p *Pool) mayRun(caller string) bool {
	return p.taken < p.options.Workers && p.running[caller] < max(1, p.options.Workers-1)
}

// take gives a caller a place and an idle process.
func (p *Pool) take(caller string) *process {
	p.wait.Add(1)
	p.taken++
	p.running[caller]++
	n := len(p.idle) - 1
	w := p.idle[n]
	p.idle = p.idle[:n]
	return w
}

// leave takes a place back.
func (p *Pool) leave(caller string) {
	p.taken--
	if p.running[caller]--; p.running[caller] <= 0 {
		delete(p.running, caller)
	}
}

// dispatch hands idle workers to the next in turn.
func (p *Pool) dispatch() {
	for len(p.idle) > 0 && !p.closed {
		t := p.queue.pop(p.mayRun)
		if t == nil {
			return
		}
		t.ready <- p.take(t.caller) // buffered
	}
}

// release takes a worker and the place back that a caller's question had, for the next in turn.
func (p *Pool) release(w *process, caller string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(caller)
	if p.closed || w.ended() { // since it answered
		p.lose(w)
	} else {
		p.idle = append(p.idle, w)
	}
	p.dispatch()
}

// replace kills a worker that a caller's question had. The place is free again at once if there are
// processes enough for all places. If not, it stays with the caller until there are: a caller whose
// questions break workers must not take the workers of others.
func (p *Pool) replace(w *process, caller string) {
	w.kill()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose(w)
	if len(p.alive) >= p.options.Workers-len(p.broken) {
		p.leave(caller)
	} else {
		p.broken = append(p.broken, caller)
	}
	p.dispatch()
}

// lose strikes a process off that nobody has any more, and has another started.
func (p *Pool) lose(w *process) {
	delete(p.alive, w)
	w.hangUp()
	if !p.closed {
		p.replenish()
	}
}

// welcome takes a new process in.
func (p *Pool) welcome(w *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		w.end()
		return
	}
	p.alive[w] = true
	p.idle = slices.Insert(p.idle, 0, w) // those that have worked are warm
	if len(p.broken) > 0 {
		p.leave(p.broken[0])
		p.broken = p.broken[1:]
	}
	p.dispatch()
	p.wait.Go(func() { // until it has ended: then nobody must wait for it in vain
		<-w.gone
		p.mu.Lock()
		defer p.mu.Unlock()
		if i := slices.Index(p.idle, w); i >= 0 {
			p.idle = slices.Delete(p.idle, i, i+1)
			p.lose(w)
		}
	})
}

// replenish starts a process, again and again until one starts or the pool closes.
func (p *Pool) replenish() {
	p.wait.Go(func() {
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			w, err := startProcess(p.life, p.command, p.options.MemoryLimit)
			if err == nil {
				p.welcome(w)
				return
			}
			select {
			case <-p.life.Done():
				return
			case <-time.After(pause):
			}
		}
	})
}

// Staff is how many workers live and how many are asked something just now, and how many questions
// wait for one.
type Staff struct{ Alive, Busy, Waiting int }

// Staff counts them.
func (p *Pool) Staff() Staff {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Staff{Alive: len(p.alive), Busy: p.taken, Waiting: p.queue.size}
}
