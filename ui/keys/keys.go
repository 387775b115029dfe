// Package keys is the one table of what every key does: handlers look keys up in it, and the footer,
// the help page and docs/keys.md are made from it. It holds no handler.
package keys

import (
	"slices"

	"bottle-tui/bottles"
)

// Action is what a key asks for.
type Action string

// The actions.
const (
	Up       Action = "up"
	Down     Action = "down"
	PageUp   Action = "page-up"
	PageDown Action = "page-down"
	Top      Action = "top"
	End      Action = "end"
	Left     Action = "left"
	Right    Action = "right"
	NextPane Action = "next-pane"
	Tab      Action = "tab"
	Type     Action = "type"
	Leave    Action = "leave"
	Review   Action = "review"
	New      Action = "new"
	Resume   Action = "resume"
	TearDown Action = "tear-down"
	Delete   Action = "delete"
	Cleanup  Action = "cleanup"
	Cancel   Action = "cancel"
	Revoke   Action = "revoke"
	Open     Action = "open"
	Wall     Action = "wall"
	Zoom     Action = "zoom"
	Filter   Action = "filter"
	Messages Action = "messages"
	Help     Action = "help"
	Quit     Action = "quit"
	Suspend  Action = "suspend"

	Approve Action = "approve"
	Edit    Action = "edit"
	Editor  Action = "editor"
	Deny    Action = "deny"
	Scope   Action = "scope"
	Whole   Action = "whole"
	Later   Action = "later"
	Send    Action = "send"
	NewLine Action = "new-line"
	Back    Action = "back"
	Check   Action = "check"
	Swap    Action = "swap"

	Go          Action = "go"
	SkipIgnored Action = "skip-ignored"
	Yes         Action = "yes"
	NextField   Action = "next-field"
	PrevField   Action = "prev-field"
)

// Place is where a binding holds.
type Place string

// The places, in the order of the help page.
const (
	Screen   Place = "On the screen"
	Terminal Place = "In an agent's terminal"
	Request  Place = "In a request"
	Reason   Place = "Giving the reason of a denial"
	Editing  Place = "Editing a request"
	Source   Place = "Saying where a credential comes from"
	Opening  Place = "Opening a host"
	Plan     Place = "Reading the plan of a bottle"
	Dialog   Place = "In other dialogs"
)

// Places lists every place.
var Places = []Place{Screen, Terminal, Request, Reason, Editing, Source, Opening, Plan, Dialog}

// Binding is one entry of the table.
type Binding struct {
	Action Action
	Place  Place
	Keys   []string // as tea.Key.String gives them
	Label  string   // the keys as they are written for people; "": the first of Keys
	Hint   string   // a word or three, for the footer
	Help   string   // a sentence
	When   string   // when it can be used; "": always
	// Disabled says why the key can't be used now; "" when it can. nil: always usable.
	Disabled func(State) string
}

// Shown is how the binding's key is written for people.
func (b *Binding) Shown() string {
	if b.Label != "" {
		return b.Label
	}
	return b.Keys[0]
}

// Why says why the binding can't be used now, or "".
func (b *Binding) Why(s State) string {
	if b.Disabled == nil {
		return ""
	}
	return b.Disabled(s)
}

// State is what decides whether a key can be used.
type State struct {
	Bottle    *bottles.Bottle // the selected one; nil: none
	Bottles   int
	Waiting   int // requests of all bottles that wait
	Orphans   int
	Agents    int
	Reachable bool   // the engine answers, or was not heard yet
	Busy      string // what was asked for the selected bottle and is not done yet
	Messages  int
	Tool      string // of the request that is open; "": none
	Conflicts int    // of the plan that is open
	Openable  bool   // something that egress refused could be opened
	Closed    string // why what is marked on the Egress tab can't be; "": it can, or nothing of the kind is marked
}

// Find returns the binding of a key press in a place.
func Find(place Place, key string) *Binding {
	for i := range Table {
		if b := &Table[i]; b.Place == place && slices.Contains(b.Keys, key) {
			return b
		}
	}
	return nil
}

// Get returns the binding of an action in a place; nil when there is none.
func Get(place Place, a Action) *Binding {
	for i := range Table {
		if b := &Table[i]; b.Place == place && b.Action == a {
			return b
		}
	}
	return nil
}

// Typable says that a bottle's agent runs and can be typed to: also while its new image is built.
func Typable(b *bottles.Bottle) bool {
	return b.Status == bottles.Live || b.Status == bottles.Building && b.Operation != nil && b.Operation.Kind == "rebuild"
}
