package terminal

// The private modes that a program may set here, with what DECRQM says of them.
const (
	modeCursorKeys   = 1
	modeOrigin       = 6
	modeWrap         = 7
	modeMouseX10     = 9
	modeCursor       = 25
	modeAlt47        = 47
	modeKeypad       = 66
	modeMouse        = 1000
	modeMouseDrag    = 1002
	modeMouseMove    = 1003
	modeFocus        = 1004
	modeMouseSGR     = 1006
	modeAlt          = 1047
	modeSaveCursor   = 1048
	modeAltSave      = 1049
	modePaste        = 2004
	modeSynchronised = 2026
	modeClusters     = 2027 // always on
)

// modes is what the program asked for.
type modes struct {
	on      map[int]bool
	newline bool // LNM: a line feed also returns the carriage
	// other is modifyOtherKeys of xterm: 0, 1 or 2.
	other int
	// kitty is the stacks of flags of the kitty keyboard protocol, for the main and the alternate
	// screen; we honour flag 1, which tells apart what the old encoding joins.
	kitty [2][]int
}

const (
	kittyDisambiguate = 1
	maxKitty          = 16
)

func newModes() modes {
	m := modes{on: make(map[int]bool)}
	for _, n := range []int{modeCursorKeys, modeOrigin, modeMouseX10, modeAlt47, modeKeypad, modeMouse, modeMouseDrag, modeMouseMove,
		modeFocus, modeMouseSGR, modeAlt, modeSaveCursor, modeAltSave, modePaste, modeSynchronised} {
		m.on[n] = false
	}
	m.on[modeWrap], m.on[modeCursor], m.on[modeClusters] = true, true, true
	return m
}

// report is the mode's state in a DECRPM.
func (m *modes) report(mode int) int {
	on, known := m.on[mode]
	switch {
	case !known:
		return 0
	case mode == modeClusters:
		return 3
	case on:
		return 1
	}
	return 2
}

// kittyFlags is the flags in force on screen i.
func (m *modes) kittyFlags(i int) int {
	if n := len(m.kitty[i]); n > 0 {
		return m.kitty[i][n-1]
	}
	return 0
}

func (m *modes) kittyPush(i, flags int) {
	if len(m.kitty[i]) == maxKitty {
		m.kitty[i] = append(m.kitty[i][:0], m.kitty[i][1:]...)
	}
	m.kitty[i] = append(m.kitty[i], flags&kittyDisambiguate)
}

func (m *modes) kittyPop(i, n int) {
	m.kitty[i] = m.kitty[i][:max(len(m.kitty[i])-n, 0)]
}

// kittySet changes the flags in force: how is 1 to set them, 2 to add, 3 to take away.
func (m *modes) kittySet(i, flags, how int) {
	flags &= kittyDisambiguate
	switch now := m.kittyFlags(i); how {
	case 2:
		flags |= now
	case 3:
		flags = now &^ flags
	}
	m.kittyPop(i, 1)
	m.kittyPush(i, flags)
}
