package keys

import (
	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// Table is every binding there is.
var Table = []Binding{
	{Action: Up, Place: Screen, Keys: []string{"up", "k"}, Label: "↑ k", Help: "Move up: to the bottle above, or in the pane that has the keyboard."},
	{Action: Down, Place: Screen, Keys: []string{"down", "j"}, Label: "↓ j", Help: "Move down."},
	{Action: PageUp, Place: Screen, Keys: []string{"pgup", "ctrl+b"}, Label: "pgup", Help: "Scroll back by a page: the terminal, the log, the list."},
	{Action: PageDown, Place: Screen, Keys: []string{"pgdown", "ctrl+f"}, Label: "pgdn", Help: "Scroll on by a page."},
	{Action: Top, Place: Screen, Keys: []string{"home"}, Help: "Go to the first line."},
	{Action: End, Place: Screen, Keys: []string{"end", "G"}, Label: "end G", Help: "Go to the last line, and follow what comes."},
	{Action: NextPane, Place: Screen, Keys: []string{"tab", "shift+tab"}, Label: "tab", Hint: "pane", Help: "Give the keyboard to the other pane."},
	{Action: Left, Place: Screen, Keys: []string{"left", "h", "["}, Label: "← h", Help: "Show the tab to the left."},
	{Action: Right, Place: Screen, Keys: []string{"right", "l", "]"}, Label: "→ l", Help: "Show the tab to the right."},
	{Action: Tab, Place: Screen, Keys: []string{"1", "2", "3", "4", "5"}, Label: "1…5", Help: "Show the terminal, the requests, the ways out with what was granted and refused, the log, or what is known of the bottle."},
	{Action: Type, Place: Screen, Keys: []string{"enter"}, Hint: "type", Help: "Type into the agent's terminal; on the Requests tab, review the marked request.",
		When: "a live bottle", Disabled: func(s State) string {
			switch {
			case s.Bottle == nil:
				return "no bottle is selected"
			case !Typable(s.Bottle):
				return s.Bottle.Identity + " is not live, so there is nobody to type to"
			}
			return ""
		}},
	{Action: Review, Place: Screen, Keys: []string{"a"}, Hint: "review", Help: "Review the oldest request that waits, of all bottles.",
		When: "a request waits", Disabled: func(s State) string {
			if s.Waiting == 0 {
				return "no request waits for you"
			}
			return ""
		}},
	{Action: New, Place: Screen, Keys: []string{"n"}, Hint: "new", Help: "Start a new bottle: choose agent, directory and first message, read the plan, and say go.",
		When: "the engine answers, and there are agents to choose from", Disabled: func(s State) string {
			switch {
			case !s.Reachable:
				return "the engine does not answer"
			case s.Agents == 0:
				return "there is no agent to choose from"
			}
			return ""
		}},
	{Action: Resume, Place: Screen, Keys: []string{"r"}, Hint: "resume", Help: "Bring a bottle that is down back, with its image, its conversation and its work.",
		When: "a bottle that is down or failed", Disabled: func(s State) string {
			return onBottle(s, "has nothing to resume", bottles.Down, bottles.Failed)
		}},
	{Action: TearDown, Place: Screen, Keys: []string{"x"}, Hint: "tear down", Help: "End the agent and its sidecars; the state is kept and `r` resumes it.",
		When: "a live bottle", Disabled: func(s State) string {
			return onBottle(s, "does not run", bottles.Live, bottles.Failed)
		}},
	{Action: Delete, Place: Screen, Keys: []string{"D"}, Hint: "delete", Help: "Delete a bottle with its conversation, workspace and image; asks for its identity.",
		When: "a bottle that is down or failed", Disabled: func(s State) string {
			if s.Bottle != nil && s.Bottle.Status == bottles.Live {
				return s.Bottle.Identity + " is live: tear it down first (x)"
			}
			return onBottle(s, "has no state to delete", bottles.Down, bottles.Failed)
		}},
	{Action: Cleanup, Place: Screen, Keys: []string{"c"}, Hint: "clean up", Help: "Remove containers, networks and volumes that belong to no bottle; lists them first.",
		When: "there are orphans", Disabled: func(s State) string {
			switch {
			case s.Orphans == 0:
				return "there are no orphans to clean up"
			case !s.Reachable:
				return "the engine does not answer"
			}
			return ""
		}},
	{Action: Cancel, Place: Screen, Keys: []string{"C"}, Hint: "cancel", Help: "Stop what is being done to the bottle, where that is still possible; a request whose build is stopped waits again.",
		When: "an operation is under way", Disabled: func(s State) string {
			if s.Bottle == nil || s.Bottle.Operation == nil || s.Bottle.Operation.Err != "" {
				return "nothing is being done to this bottle"
			}
			return ""
		}},
	{Action: Revoke, Place: Screen, Keys: []string{"R"}, Hint: "revoke", Help: "Take a grant back before its time: the one that is marked on the Egress tab. Asks first.",
		When: "something was granted to the bottle", Disabled: func(s State) string {
			switch {
			case s.Bottle == nil:
				return "no bottle is selected"
			case len(s.Bottle.Grants) == 0:
				return s.Bottle.Identity + " has no grant that could be revoked"
			}
			return onBottle(s, "has nothing to revoke", bottles.Live, bottles.Down, bottles.Failed)
		}},
	{Action: Open, Place: Screen, Keys: []string{"A"}, Hint: "open", Help: "Open a host that egress refused: the one that is marked on the Egress tab. Asks first, and for how long.",
		When: "egress refused a host of a live bottle for want of a rule", Disabled: func(s State) string {
			if why := onBottle(s, "has no way out that could be opened", bottles.Live); why != "" {
				return why
			}
			switch {
			case s.Closed != "":
				return "can't be opened: " + s.Closed
			case !s.Openable:
				return "egress has refused nothing to " + s.Bottle.Identity + " that a rule would open"
			}
			return ""
		}},
	{Action: Wall, Place: Screen, Keys: []string{"g"}, Hint: "wall", Help: "Show the terminals of all live bottles side by side, and leave that view.",
		When: "a bottle is there", Disabled: noBottles},
	{Action: Zoom, Place: Screen, Keys: []string{"z"}, Hint: "zoom", Help: "Give the selected bottle the whole screen, and take it back.",
		When: "a bottle is there", Disabled: noBottles},
	{Action: Filter, Place: Screen, Keys: []string{"/"}, Hint: "filter", Help: "Show only bottles whose identity, directory or status holds what is typed; `esc` shows all.",
		When: "a bottle is there", Disabled: noBottles},
	{Action: Messages, Place: Screen, Keys: []string{"!"}, Hint: "messages", Help: "Show failures, and files that can't be read, in full.",
		When: "there is a message", Disabled: func(s State) string {
			if s.Messages == 0 {
				return "there is no message"
			}
			return ""
		}},
	{Action: Help, Place: Screen, Keys: []string{"?"}, Hint: "help", Help: "Show this table."},
	{Action: Suspend, Place: Screen, Keys: []string{"ctrl+z"}, Help: "Go back to the shell for a while; `fg` goes on. The agents go on meanwhile.", When: "started from a shell"},
	{Action: Quit, Place: Screen, Keys: []string{"q", "ctrl+c"}, Hint: "quit", Help: "Leave bottle-tui. The bottles go on, and requests wait."},

	{Action: Leave, Place: Terminal, Keys: []string{"ctrl+\\"}, Hint: "leave", Help: "Take the keyboard back. Every other key goes to the agent."},
	{Action: PageUp, Place: Terminal, Keys: []string{"shift+pgup"}, Label: "shift+pgup", Help: "Scroll back; so does the mouse wheel, unless the agent's program asked for the mouse."},
	{Action: PageDown, Place: Terminal, Keys: []string{"shift+pgdown"}, Label: "shift+pgdn", Help: "Scroll on. Typing goes to the end."},

	{Action: Approve, Place: Request, Keys: []string{"y"}, Hint: "approve", Help: "Approve exactly what is shown.",
		When: "the keyboard was quiet for 0.4 s with the request on the screen, and its end was shown"},
	{Action: Edit, Place: Request, Keys: []string{"e"}, Hint: "edit", Help: "Edit the proposed file here.", When: "the keyboard was quiet for 0.4 s, and it is no push", Disabled: notOfPushes(uneditable)},
	{Action: Editor, Place: Request, Keys: []string{"E"}, Hint: "$EDITOR", Help: "Edit it in $VISUAL or $EDITOR.", When: "the keyboard was quiet for 0.4 s, and it is no push", Disabled: notOfPushes(uneditable)},
	{Action: Deny, Place: Request, Keys: []string{"n"}, Hint: "deny", Help: "Deny it; asks for the reason, which the agent is told.", When: "the keyboard was quiet for 0.4 s"},
	{Action: Scope, Place: Request, Keys: []string{"s"}, Hint: "scope", Help: "Choose how long it is granted: for a time, for this bottle, or for the profile, whose manifest is then changed as shown.",
		When: "the request is for a way out or a route", Disabled: func(s State) string {
			switch s.Tool {
			case queue.ToolCapability:
				return "a capability has no scope: the new image is this bottle's from then on"
			case bottles.ToolPush:
				return "a push has no scope: the answer is for this one alone"
			}
			return ""
		}},
	{Action: Whole, Place: Request, Keys: []string{"f"}, Hint: "whole file", Help: "Show the whole file, or again only what changes.", When: "it is no push",
		Disabled: notOfPushes("of a push there is no whole file: what it changes is all that git-gate tells")},
	{Action: Later, Place: Request, Keys: []string{"esc", "q", "ctrl+c"}, Label: "esc", Hint: "later", Help: "Close it; it goes on waiting."},
	{Action: Up, Place: Request, Keys: []string{"up", "k"}, Label: "↑ k", Help: "Scroll up."},
	{Action: Down, Place: Request, Keys: []string{"down", "j"}, Label: "↓ j", Help: "Scroll down."},
	{Action: PageUp, Place: Request, Keys: []string{"pgup", "ctrl+b"}, Label: "pgup", Help: "Scroll up by a page."},
	{Action: PageDown, Place: Request, Keys: []string{"pgdown", "ctrl+f", "space"}, Label: "pgdn space", Help: "Scroll down by a page."},
	{Action: Top, Place: Request, Keys: []string{"home", "g"}, Label: "home g", Help: "Go to the beginning."},
	{Action: End, Place: Request, Keys: []string{"end", "G"}, Label: "G", Hint: "end", Help: "Go to the end."},

	{Action: Send, Place: Reason, Keys: []string{"enter", "ctrl+s"}, Label: "enter", Hint: "deny with this reason", Help: "Deny, and tell the agent this.", When: "there is a reason"},
	{Action: NewLine, Place: Reason, Keys: []string{"alt+enter", "ctrl+j", "shift+enter"}, Label: "alt+enter", Hint: "new line", Help: "Begin a new line."},
	{Action: Back, Place: Reason, Keys: []string{"esc", "ctrl+c"}, Label: "esc", Hint: "back", Help: "Go back to the request."},

	{Action: Check, Place: Editing, Keys: []string{"ctrl+s"}, Hint: "check what you wrote", Help: "Check the edited file and show what it changes; there, `y` approves it and `e` edits on."},
	{Action: Swap, Place: Editing, Keys: []string{"ctrl+r"}, Hint: "the agent's or yours", Help: "Change between what the agent proposes and your version; also one of an earlier request that was settled before you were done."},
	{Action: Back, Place: Editing, Keys: []string{"esc", "ctrl+c"}, Label: "esc", Hint: "back", Help: "Go back to the request; your version is kept, and offered again, until the request is answered."},

	{Action: Send, Place: Source, Keys: []string{"enter"}, Hint: "go on", Help: "Take this source; after the last one, approve. A credential itself is refused.", When: "it is a variable's name, `file:PATH` or `cmd:COMMAND`"},
	{Action: Back, Place: Source, Keys: []string{"esc", "ctrl+c"}, Label: "esc", Hint: "back", Help: "Go back to the request; nothing is approved."},

	{Action: Approve, Place: Opening, Keys: []string{"y"}, Hint: "open it", Help: "Open the host as shown, for as long as shown.",
		When: "the keyboard was quiet for 0.4 s with the question on the screen, and its end was shown"},
	{Action: Scope, Place: Opening, Keys: []string{"s"}, Hint: "scope", Help: "Choose how long: for a time, or for this bottle. For the profile, write the host into its manifest."},
	{Action: Back, Place: Opening, Keys: []string{"esc", "ctrl+c", "q", "n"}, Label: "esc", Hint: "close", Help: "Close it; nothing is opened."},
	{Action: Up, Place: Opening, Keys: []string{"up", "k"}, Label: "↑ k", Help: "Scroll up."},
	{Action: Down, Place: Opening, Keys: []string{"down", "j"}, Label: "↓ j", Help: "Scroll down."},

	{Action: Go, Place: Plan, Keys: []string{"y"}, Hint: "go", Help: "Do what the plan says: start or resume the bottle.", When: "there is no conflict", Disabled: func(s State) string {
		if s.Conflicts > 0 {
			return "nothing is created while there is a conflict"
		}
		return ""
	}},
	{Action: SkipIgnored, Place: Plan, Keys: []string{"i"}, Help: "Of a new bottle: copy the directory without what git ignores, or with it again."},
	{Action: Back, Place: Plan, Keys: []string{"esc", "ctrl+c", "q"}, Label: "esc", Hint: "back", Help: "Go back; nothing is created. While the plan is being made, stop making it."},
	{Action: Up, Place: Plan, Keys: []string{"up", "k"}, Label: "↑ k", Help: "Scroll up."},
	{Action: Down, Place: Plan, Keys: []string{"down", "j"}, Label: "↓ j", Help: "Scroll down."},
	{Action: PageUp, Place: Plan, Keys: []string{"pgup", "ctrl+b"}, Label: "pgup", Help: "Scroll up by a page."},
	{Action: PageDown, Place: Plan, Keys: []string{"pgdown", "ctrl+f", "space"}, Label: "pgdn space", Help: "Scroll down by a page."},
	{Action: Top, Place: Plan, Keys: []string{"home", "g"}, Label: "home g", Help: "Go to the beginning."},
	{Action: End, Place: Plan, Keys: []string{"end", "G"}, Label: "G", Help: "Go to the end."},

	{Action: Yes, Place: Dialog, Keys: []string{"enter", "y"}, Label: "enter", Hint: "yes", Help: "Do what the dialog asks about. Where a name has to be typed, `y` is a letter of it."},
	{Action: Back, Place: Dialog, Keys: []string{"esc", "ctrl+c"}, Label: "esc", Hint: "close", Help: "Close the dialog; nothing is done."},
	{Action: NextField, Place: Dialog, Keys: []string{"tab", "down"}, Label: "tab", Hint: "next field", Help: "Go to the next field."},
	{Action: PrevField, Place: Dialog, Keys: []string{"shift+tab", "up"}, Label: "shift+tab", Help: "Go to the field before."},
	{Action: Left, Place: Dialog, Keys: []string{"left"}, Label: "← →", Hint: "choose", Help: "Choose another agent."},
	{Action: Right, Place: Dialog, Keys: []string{"right"}, Label: "→", Help: "Choose another agent."},
	{Action: PageDown, Place: Dialog, Keys: []string{"pgdown", "space"}, Label: "pgdn", Help: "Scroll a long text; so do the arrows, pgup, home and end."},
}

const uneditable = "a push can't be edited: deny it, and say what it should be instead"

// notOfPushes is the condition of a key that does nothing for a push.
func notOfPushes(why string) func(State) string {
	return func(s State) string {
		if s.Tool == bottles.ToolPush {
			return why
		}
		return ""
	}
}

func noBottles(s State) string {
	if s.Bottles == 0 {
		return "there is no bottle yet"
	}
	return ""
}

// onBottle is the common part of what changes a bottle: one of the statuses, an engine that answers,
// and nothing else under way.
func onBottle(s State, not string, statuses ...bottles.Status) string {
	if s.Bottle == nil {
		return "no bottle is selected"
	}
	if s.Busy != "" {
		return s.Bottle.Identity + ": " + s.Busy + " is still under way"
	}
	if op := s.Bottle.Operation; op != nil && op.Err == "" {
		return s.Bottle.Identity + ": " + op.Kind + " is still under way"
	}
	for _, status := range statuses {
		if s.Bottle.Status == status {
			if !s.Reachable {
				return "the engine does not answer"
			}
			return ""
		}
	}
	return s.Bottle.Identity + " is " + string(s.Bottle.Status) + " and " + not
}
