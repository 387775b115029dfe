package ui

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/detail"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/keys"
	"bottle-tui/ui/list"
	"bottle-tui/ui/request"
	"bottle-tui/ui/terminal"
)

// What the program is sent.
type (
	updateMsg    bottles.Update  // from the Supervisor
	terminalsMsg struct{}        // some terminal changed
	spinMsg      struct{}        // the next frame of the spinner
	ageMsg       struct{ n int } // a label may have to change
	armMsg       struct{}        // the dialog may look or work otherwise now
	cwdMsg       struct{ dir string }
	startedMsg   struct { // an action was taken up, or refused
		identity, doing string
		action          bottles.Action
		kind            string // of the operation that it starts, as alerts name it
		from            dialog.Dialog
		done            <-chan error
		err             error
	}
	doneMsg struct { // an action's operation ended
		identity, doing string
		action          bottles.Action
		kind            string
		err             error
	}
	resumableMsg struct { // what resuming a bottle would do
		identity string
		plan     *bottles.Preflight
		err      error
	}
)

// focus is which pane has the keyboard.
type focus int

const (
	onList focus = iota
	onDetail
)

// model is the root: it routes what comes in, and it alone acts.
type model struct {
	ctx     context.Context // operations run under it
	life    context.Context // the screen's own
	workers *sync.WaitGroup
	o       Options
	styles  *themes.Styles
	home    string // the operator's home directory
	cwd     string // where bottle-tui was started

	w, h    int
	snap    *bottles.Snapshot
	list    list.Pane
	detail  detail.Pane
	focus   focus
	typing  bool // the keyboard goes to the selected bottle's agent
	zoomed  bool
	filter  bool // the filter is being typed
	wall    *wall
	dialog  dialog.Dialog
	notes   notes
	pending map[string]string             // identity → what was asked for and is not taken up in a snapshot yet
	drafts  map[draftKey]request.Draft    // the operator's versions that were not put in force, by bottle and tool
	wanted  string                        // the bottle to select once it is there: the operator just asked for it
	last    map[string]*bottles.Operation // each bottle's last operation, whose log stays readable
	sizes   map[string]size               // what each agent's terminal was told
	spin    int
	turning bool // a spinMsg is on its way
	ages    int  // the ageMsg that counts
	ageAt   time.Time
	pause   func()        // stops the process until a shell goes on with it
	arming  bool          // an armMsg is on its way
	strayed *dialog.Guard // until when keys go nowhere: they were meant for an agent; nil: they go on
	pressed time.Time     // when the last key was pressed that did not only move
	unknown time.Time     // when the last key was pressed that means nothing here
	after   func(d time.Duration, msg tea.Msg) tea.Cmd
	frames  compositor
}

type size struct {
	cols, rows int
	live       bool
}

func newModel(ctx, life context.Context, workers *sync.WaitGroup, o Options, styles *themes.Styles) *model {
	if o.Name == "" {
		o.Name = "bottle-tui"
	}
	if o.Command == nil {
		o.Command = func(args string) string { return o.Name + " " + args }
	}
	m := &model{ctx: ctx, life: life, workers: workers, o: o, styles: styles, home: env(o.Environ, "HOME"),
		pending: map[string]string{}, drafts: map[draftKey]request.Draft{}, last: map[string]*bottles.Operation{}, sizes: map[string]size{}}
	m.after = m.wait
	m.list = list.Pane{Styles: styles, Home: m.home}
	m.detail = detail.Pane{Styles: styles, Home: m.home, Command: o.Command}
	return m
}

func env(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// Init asks where the program was started; everything else comes by itself.
func (m *model) Init() tea.Cmd {
	return func() tea.Msg {
		dir, err := os.Getwd()
		if home, _ := os.UserHomeDir(); err != nil || dir == home || dir == "/" {
			return cwdMsg{} // the form for a new bottle then proposes none: nobody wants these copied
		}
		return cwdMsg{dir}
	}
}

// Update takes one message in.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		m.fitTerminals()
	case updateMsg:
		cmd = m.takeIn(msg)
	case terminalsMsg: // View looks at the versions
	case tea.KeyPressMsg:
		cmd = m.key(msg)
	case tea.PasteMsg:
		cmd = m.paste(msg.Content)
	case tea.MouseMsg:
		cmd = m.mouse(msg)
	case spinMsg:
		m.turning = false
		m.spin++
	case ageMsg:
		if msg.n != m.ages {
			return m, nil // an earlier one was set up since
		}
		m.ageAt = time.Time{}
		m.notes.expire(m.o.now())
	case armMsg:
		m.arming = false
	case suspendMsg:
		cmd = m.suspend()
	case cwdMsg:
		m.cwd = msg.dir
	case startedMsg:
		cmd = m.started(msg)
	case doneMsg:
		m.done(msg)
	case resumableMsg:
		cmd = m.resumable(msg)
	default:
		if m.dialog != nil {
			cmd = m.act(m.dialog.Message(msg))
		}
	}
	m.refresh()
	return m, tea.Batch(cmd, m.animate())
}

// refresh gives the panes what is selected now.
func (m *model) refresh() {
	m.watchActivity()
	b := m.list.Selected()
	var last *bottles.Operation
	if b != nil {
		last = m.last[b.Identity]
	}
	m.detail.Show(b, last)
	if m.typing && (b == nil || !keys.Typable(b)) {
		m.stray("the agent does not run any more")
	}
}

// watchActivity reads from the titles of the agents' terminals what they do.
func (m *model) watchActivity() {
	if m.snap == nil {
		return
	}
	for i := range m.snap.Bottles {
		if b := &m.snap.Bottles[i]; b.Status == bottles.Live {
			m.list.SetActivity(b.Identity, list.ActivityOf(m.screen(b.Identity).Title()))
		} else {
			m.list.SetActivity(b.Identity, list.Unknown)
		}
	}
}

// takeIn takes in what the Supervisor tells.
func (m *model) takeIn(u updateMsg) tea.Cmd {
	var cmds []tea.Cmd
	if u.Snapshot != nil {
		typingTo := ""
		if b := m.list.Selected(); m.typing && b != nil {
			typingTo = b.Identity
		}
		m.snap = u.Snapshot
		m.list.Set(u.Snapshot)
		if m.wanted != "" && !m.typing && m.list.Here(m.wanted) {
			m.list.Select(m.wanted)
			m.wanted = ""
		}
		if b := m.list.Selected(); m.typing && (b == nil || b.Identity != typingTo) {
			m.stray(typingTo + " is not selected any more") // what is typed must not reach the neighbour
		}
		m.remember()
		m.dropDrafts()
		m.fitTerminals()
		if m.dialog != nil {
			cmds = append(cmds, m.act(m.dialog.Refresh(u.Snapshot)))
		}
	}
	for _, a := range u.Alerts {
		cmds = append(cmds, m.alert(a))
	}
	return tea.Batch(cmds...)
}

// remember keeps each bottle's last operation, and drops what concerns bottles that are gone.
func (m *model) remember() {
	here := make(map[string]bool, len(m.snap.Bottles))
	for i := range m.snap.Bottles {
		b := &m.snap.Bottles[i]
		here[b.Identity] = true
		if b.Operation != nil {
			m.last[b.Identity] = b.Operation
		} else if op := m.last[b.Identity]; op != nil && op.Err != "" {
			delete(m.last, b.Identity) // the failure is history: something else was done since
		}
	}
	m.detail.Keep(here)
	for _, identity := range m.list.Active() {
		if !here[identity] {
			m.list.SetActivity(identity, list.Unknown)
		}
	}
	for identity := range m.last {
		if !here[identity] {
			delete(m.last, identity)
		}
	}
	for identity := range m.sizes {
		if !here[identity] {
			delete(m.sizes, identity)
			m.o.Screens.Drop(identity)
		}
	}
}

// animate sets up the next tick, if something moves or a label ages; nothing ticks otherwise.
func (m *model) animate() tea.Cmd {
	var cmds []tea.Cmd
	if !m.turning && m.working() {
		m.turning = true
		cmds = append(cmds, m.after(120*time.Millisecond, spinMsg{}))
	}
	if d, ok := m.dialog.(dialog.Ticker); ok && !m.arming {
		if wait := d.Next(); wait > 0 {
			m.arming = true
			cmds = append(cmds, m.after(wait, armMsg{}))
		}
	}
	if wait := m.nextAge(); wait > 0 {
		// One tick is on its way at a time, unless an earlier one is needed.
		if due := m.o.now().Add(wait); m.ageAt.IsZero() || due.Before(m.ageAt.Add(-time.Second)) {
			m.ageAt = due
			m.ages++
			cmds = append(cmds, m.after(wait, ageMsg{m.ages}))
		}
	}
	return tea.Batch(cmds...)
}

// wait gives msg when d has passed, and nothing when the screen ends before.
func (m *model) wait(d time.Duration, msg tea.Msg) tea.Cmd {
	return func() tea.Msg {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return msg
		case <-m.life.Done():
			return nil
		}
	}
}

// working says that something is being done to a bottle.
func (m *model) working() bool {
	if m.snap == nil {
		return false
	}
	for i := range m.snap.Bottles {
		if op := m.snap.Bottles[i].Operation; op != nil && op.Err == "" {
			return true
		}
	}
	return false
}

// screen is a bottle's terminal.
func (m *model) screen(identity string) *terminal.Screen { return m.o.Screens.For(identity) }
