package bottles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/state"
)

// ErrRefused is wrapped by every refusal of an action: nothing was done, and the text says why.
var ErrRefused = errors.New("refused")

// Config is what a Supervisor works with. Root, Engine and Catalog are required.
type Config struct {
	Root    *state.Root
	Engine  Engine
	Catalog Catalog
	// Screens gives the screen that an agent's output goes to; nil discards it.
	Screens func(identity string) Screen
	// Binary opens this program's linux executable for an architecture, for the sidecars' image.
	// nil: sidecars.Binary.
	Binary func(ctx context.Context, goos, goarch string) (*sidecars.Executable, error)
	// Compiles says why Binary would compile the program first, and what is missing for that. nil: sidecars.Compiles.
	Compiles func() (why, cannot error)
	// Resolve gives the value of a token_ref. It may run a password manager; its errors hold no value. nil: none can
	// be had.
	Resolve func(ctx context.Context, ref string) (string, error)
	// Command writes a command of this program that is suggested, as it is called here and with the flags that belong to
	// it: "cleanup" is "bottle-tui cleanup --home DIR". nil: as bottle-tui, without flags.
	Command func(args string) string
	// Recover says which bottles' interrupted operations to finish at the start; nil: all.
	Recover func(identity string) bool
	Settle  time.Duration // how long a new agent must stay up before the old one is given up; 0: a second
	Log     *slog.Logger
	Now     func() time.Time
}

// Bounds of what a Supervisor does at a time.
const (
	launches      = 4                      // bottles brought up or replaced at the same time
	interval      = 50 * time.Millisecond  // between two snapshots without an alert
	othersSoon    = 250 * time.Millisecond // until what another program does to a bottle is looked at again
	othersLate    = 5 * time.Second        // the same, when that takes long
	snapshotEvery = time.Minute            // of a live bottle's transcript, when it changed
)

// Supervisor owns every bottle of one state root. Make it with New, give it its life with Run, and
// read Updates all the while.
type Supervisor struct {
	cfg      Config
	ctx      context.Context // Run's; ends every goroutine
	inbox    chan func()     // what the owner goroutine does next
	started  chan struct{}   // closed when Run has set ctx
	updates  chan Update
	stopped  chan struct{}
	workers  sync.WaitGroup
	slots    *semaphore.Weighted
	once     once
	homes    homeLists
	patience time.Duration // how long an action waits for another program that is at something short

	unwritten sync.Map // identities whose audit log could not be written to the last time
	disk      diskCache
	listings  atomic.Uint64 // how many were begun

	// Below: touched by the owner goroutine alone.
	bottles   map[string]*record
	problems  map[string][]Problem // by their source: "state", or a queue's identity
	engine    EngineView
	agents    []string
	version   uint64
	dirty     bool
	alerts    []Alert
	observing bool            // a listing is under way
	again     bool            // and another one is wanted after it
	later     bool            // one is to be made after a while
	taken     uint64          // the number of the last listing that was taken in
	died      map[string]bool // IDs of containers that ended, which a listing may still call running
	waiters   []chan error    // of Ready
	others    time.Duration   // the last wait for what another program does; 0: it does nothing
	awaiting  bool            // such a wait is under way
	listed    bool            // the engine has been listed at least once
	recovered bool            // what was interrupted has been seen to since the engine last came

	mu        sync.Mutex                    // guards what follows, which workers share
	terminals map[string]*terminal          // by identity
	released  bool                          // terminals are let go of until they are taken again
	early     map[string]*early             // what was typed to agents without an open terminal, by identity
	asked     map[string]factCount          // by identity and kind
	summaries map[string]summaryCount       // by identity
	positions map[string]position           // up to where a container's log was heard, by its name
	voices    map[string]*voice             // by container name
	copies    map[string]context.CancelFunc // end a minute's copy of a transcript, by identity
	sessions  map[string]saidSession        // what agents said of their sessions, by container name
	sidecar   *sidecars.Image               // the sidecars' image for the engine's platform
	binary    *sidecars.Executable          // what it is made from, open with it
	madeFor   EngineInfo                    // the engine that both are for
}

// record is what the owner knows of one bottle.
type record struct {
	identity string
	disk     *state.Bottle // nil: the engine has objects of it, the state root does not
	meta     state.Metadata
	unread   string           // why meta could not be read
	unlisted string           // why it could not be seen whether there is a state
	read     uint64           // the number of the listing, or of the look at its state, that this is from
	own      bool             // it has a Dockerfile of its own
	journal  *state.Operation // on disk: in flight here, elsewhere, or interrupted
	force    inForce          // what its gates let through
	grants   []Grant
	expires  time.Time   // when expiry fires; zero: never
	expiry   *time.Timer // of the next end of a grant
	retry    time.Time   // when to take back what could not be; zero: at once
	feed     feed        // what its gates told, and
	untold   untold      // what of that the audit log does not have
	sent     int64       // bytes through egress since it started
	received int64
	usage    Usage // of disks, when it was measured last
	have     parts
	agent    Container // inspected, when it ended
	oom      Container // that ran out of memory last, and when
	requests []Request
	looking  bool       // its box is being read, and
	moved    bool       // something moved in it meanwhile
	pushes   []Request  // that git-gate holds for the operator
	op       *operation // ours, in flight
	waiting  []turn     // what is asked for meanwhile
	failed   *Operation // the last of ours, if it failed
	missed   []Role     // the sidecars whose end the operator was told of
	forsaken bool       // what its agent, which is gone, asked for is being withdrawn
	opening  bool       // its terminal is being opened
	ended    string     // ID of the agent container whose end was dealt with
}

// gone says that nothing is left of a bottle: neither state nor an object of the engine, and nothing is done to it.
func (r *record) gone() bool {
	return r.disk == nil && r.op == nil && r.have.empty() && len(r.have.volumes)+len(r.have.left) == 0
}

// New makes a Supervisor; it does nothing before Run.
func New(cfg Config) *Supervisor {
	if cfg.Command == nil {
		cfg.Command = func(args string) string { return strings.TrimSpace("bottle-tui " + args) }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Settle == 0 {
		cfg.Settle = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Binary == nil {
		cfg.Binary = sidecars.Binary
	}
	if cfg.Compiles == nil {
		cfg.Compiles = sidecars.Compiles
	}
	return &Supervisor{
		cfg:       cfg,
		inbox:     make(chan func(), 64),
		started:   make(chan struct{}),
		updates:   make(chan Update),
		stopped:   make(chan struct{}),
		slots:     semaphore.NewWeighted(launches),
		bottles:   map[string]*record{},
		problems:  map[string][]Problem{},
		terminals: map[string]*terminal{},
		early:     map[string]*early{},
		voices:    map[string]*voice{},
		summaries: map[string]summaryCount{},
		asked:     map[string]factCount{},
		positions: map[string]position{},
		died:      map[string]bool{},
		copies:    map[string]context.CancelFunc{},
		sessions:  map[string]saidSession{},
		patience:  shortPatience,
		once:      once{calls: map[string]*call{}},
	}
}

// Updates is the one stream of snapshots and alerts. It is closed when Run has ended.
func (s *Supervisor) Updates() <-chan Update { return s.updates }

// Run supervises until ctx ends, and returns when every goroutine of it has ended. What is in
// flight then is left to its journal. It fails only if the state root can't be watched.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	s.ctx = ctx
	defer func() {
		cancel()
		s.workers.Wait()
		if s.binary != nil {
			s.binary.Close()
		}
		close(s.stopped)
		close(s.updates)
	}()
	queueRoot := filepath.Join(s.cfg.Root.Dir(), "queue")
	watcher, err := queue.Watch(ctx, queueRoot)
	if err != nil {
		return fmt.Errorf("watch the requests in %s: %w", queueRoot, err)
	}
	defer watcher.Close()
	states := s.cfg.Root.Watch(ctx)
	defer states.Close()
	s.disk.watch()
	s.agents = s.cfg.Catalog.Agents()
	s.scanDisk() // the first snapshot needs no engine
	close(s.started)
	s.spawn(func() { s.watchEngine(ctx) })
	s.spawn(func() { s.watchQueue(ctx, watcher) })
	s.spawn(func() { s.watchState(states) })
	s.spawn(func() { s.watchAgents(ctx, s.agents) })
	s.spawn(func() { s.keepTranscripts(ctx) })
	s.spawn(func() { s.summariseAll(ctx) })
	s.spawn(func() { s.watchUsage(ctx) })

	s.dirty = true
	var next time.Time // when a snapshot without an alert may go out
	// One snapshot at a time is made and offered. While nobody takes it, none is made that would be dropped.
	var out chan Update
	var update Update
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if s.dirty && out == nil {
			if wait := time.Until(next); wait <= 0 || len(s.alerts) > 0 {
				out, update = s.updates, Update{s.snapshot(), s.alerts}
				s.dirty, s.alerts, next = false, nil, time.Now().Add(interval)
			} else {
				timer.Reset(wait)
			}
		}
		select {
		case f := <-s.inbox:
			f()
		case out <- update:
			out, update = nil, Update{}
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// spawn runs f in a goroutine that Run waits for. Only the owner and its workers may call it.
func (s *Supervisor) spawn(f func()) {
	s.workers.Add(1)
	go func() {
		defer s.workers.Done()
		f()
	}()
}

// post has the owner goroutine do f. It gives up when the Supervisor ends.
func (s *Supervisor) post(f func()) {
	select {
	case s.inbox <- f:
	case <-s.ctx.Done():
	}
}

// after has the owner goroutine do f when d has passed. It gives up when the Supervisor ends.
func (s *Supervisor) after(d time.Duration, f func()) {
	s.spawn(func() {
		select {
		case <-time.After(d):
			s.post(f)
		case <-s.ctx.Done():
		}
	})
}

// ask has the owner goroutine do f and waits for it; false when the Supervisor ended first.
func (s *Supervisor) ask(f func()) bool {
	done := make(chan struct{})
	s.post(func() { f(); close(done) })
	select {
	case <-done:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// changed marks the world as different from the last snapshot. Owner only.
func (s *Supervisor) changed() { s.dirty = true }

// alert adds something that must arrive. Owner only.
func (s *Supervisor) alert(kind AlertKind, identity, request, text string) {
	s.tell(Alert{Kind: kind, Identity: identity, Request: request, Text: text})
}

func (s *Supervisor) tell(a Alert) {
	s.alerts = append(s.alerts, a)
	s.dirty = true
}

// record finds or makes the record of a bottle. Owner only.
func (s *Supervisor) record(identity string) *record {
	r, ok := s.bottles[identity]
	if !ok {
		r = &record{identity: identity, have: newParts()}
		s.bottles[identity] = r
	}
	return r
}

// engineID is the identifier of the engine that answers.
func (s *Supervisor) engineID() (id string) {
	s.ask(func() { id = s.engine.Info.ID })
	return id
}

// Ready waits until the engine has been listed once; its error is the engine's, which does not answer.
func (s *Supervisor) Ready(ctx context.Context) error {
	select {
	case <-s.started:
	case <-ctx.Done():
		return ctx.Err()
	}
	w := make(chan error, 1)
	s.post(func() {
		if s.listed {
			w <- nil
			return
		}
		s.waiters = append(s.waiters, w)
	})
	select {
	case err := <-w:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return s.ctx.Err()
	}
}

// ready lets go those who wait for the first listing. Owner only.
func (s *Supervisor) ready(err error) {
	for _, w := range s.waiters {
		w <- err
	}
	s.waiters = nil
}

// watchEngine keeps the listing true: events trigger it, each reconnect repeats it.
func (s *Supervisor) watchEngine(ctx context.Context) {
	const shortest, longest = 500 * time.Millisecond, 10 * time.Second
	wait := shortest
	for ctx.Err() == nil {
		info, err := s.cfg.Engine.Info(ctx)
		var events <-chan Event
		if err == nil {
			events, err = s.cfg.Engine.Events(ctx, "")
		}
		if err == nil {
			wait = shortest
			s.post(func() {
				s.engine = EngineView{Reachable: true, Info: info}
				s.recovered = false
				s.changed()
				s.observe()
			})
			for ev := range events {
				s.post(func() {
					if !s.concerns(ev) {
						return
					}
					if ev.Action == "die" {
						s.died[ev.ID] = true
					}
					if ev.Action == "oom" {
						s.ranOut(ev)
					}
					s.observe()
				})
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		s.post(func() {
			s.ready(err)
			if s.engine.Reachable || s.engine.Err != err.Error() {
				s.engine = EngineView{Err: err.Error()}
				s.changed()
			}
		})
		select {
		case <-time.After(wait):
			wait = min(2*wait, longest)
		case <-ctx.Done():
		}
	}
}

// concerns says whether an event may be of a bottle of this root. Owner only.
func (s *Supervisor) concerns(ev Event) bool {
	id := ev.Labels[LabelRoot]
	return id == s.cfg.Root.ID() || id == s.cfg.Root.PathID() || s.bottles[ev.Labels[LabelIdentity]] != nil
}

// watchQueue has a bottle's box looked at whenever something moved in it.
func (s *Supervisor) watchQueue(ctx context.Context, w *queue.Watcher) {
	for ev := range w.Events() {
		if ev.Identity == "" {
			s.post(func() {
				for id := range s.bottles {
					s.lookAtBox(id)
				}
			})
			continue
		}
		s.post(func() { s.lookAtBox(ev.Identity) })
	}
}

// agentsEvery is between two looks at what the catalog offers.
const agentsEvery = 2 * time.Second

// watchAgents keeps the names of the agents that can be launched, which are on disk.
func (s *Supervisor) watchAgents(ctx context.Context, known []string) {
	every(ctx, agentsEvery, func() {
		if now := s.cfg.Catalog.Agents(); !slices.Equal(known, now) {
			known = now
			s.post(func() { s.agents = now; s.changed() })
		}
	})
}

// observe lists the engine and the disk again. While one listing runs, the next waits for it, so that
// a burst of events costs two. Owner only.
func (s *Supervisor) observe() {
	if s.observing {
		s.again = true
		return
	}
	s.observing = true
	s.spawn(func() {
		listing, err := s.list()
		s.post(func() {
			s.observing = false
			if err == nil {
				s.takeIn(listing)
				s.listed = true
				s.ready(nil)
				if s.engine.Reachable {
					s.engine.Err = ""
				}
			} else if s.ctx.Err() == nil {
				s.takeIn(listing) // what the disk says
				if !errors.Is(err, ErrUnavailable) {
					s.ready(err)
					s.engine.Err = err.Error()
					s.changed()
				}
				s.observeLater()
			}
			if s.again {
				s.again = false
				s.observe()
			}
		})
	})
}

// listAgain is until a listing is repeated that failed, or that nothing else asks for.
const listAgain = 2 * time.Second

// observeLater lists again after a while, once for all who want it meanwhile. A reconnect does it by itself. Owner only.
func (s *Supervisor) observeLater() {
	if s.later {
		return
	}
	s.later = true
	s.after(listAgain, func() {
		s.later = false
		if s.engine.Reachable {
			s.observe()
		}
	})
}
