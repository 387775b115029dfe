package bottles

import "strings"

// NoticeEngine is the ID of the notice that the docker command uses another engine than this program.
const NoticeEngine = "other-engine"

// EngineChoice is which engine was chosen, and which one the docker command would choose.
type EngineChoice struct {
	Address  string // e.g. "unix:///var/run/docker.sock"
	Why      string // what chose it
	Other    string // the address of the docker command's engine; "": it is the same, or unknown
	OtherWhy string // what chooses that one
	Doubt    string // why the docker command's engine can't be told; "": it can
}

// Chooser is an Engine that knows why it was chosen.
type Chooser interface {
	// Choice asks no engine.
	Choice() EngineChoice
}

// Notice is what an operator who also uses the docker command should know of the choice; nil: nothing.
func (c EngineChoice) Notice() []Notice {
	mine := c.Address + " (" + c.Why + ")"
	switch {
	case c.Doubt != "":
		return []Notice{{ID: NoticeEngine, What: "the bottle is made on the engine at " + mine + "; whether the docker command uses the same can't be told: " + c.Doubt,
			Fix: "set DOCKER_HOST to the engine that is meant"}}
	case strings.HasPrefix(c.Other, "ssh://"):
		return []Notice{{ID: NoticeEngine, What: "the bottle is made on the engine at " + mine + "; the docker command uses " + c.Other + " (" + c.OtherWhy + "), which bottle-tui can't reach by ssh",
			Fix: "if that one is meant: forward its socket (ssh -N -L /tmp/engine.sock:/var/run/docker.sock HOST) and set DOCKER_HOST=unix:///tmp/engine.sock"}}
	case c.Other != "":
		return []Notice{{ID: NoticeEngine, What: "the bottle is made on the engine at " + mine + "; the docker command uses " + c.Other + " (" + c.OtherWhy + ")",
			Fix: "if that one is meant: set DOCKER_HOST=" + c.Other}}
	}
	return nil
}

// planChoice tells of an engine that is not the docker command's.
func (p *Preflight) planChoice(e Engine) {
	if c, ok := e.(Chooser); ok {
		p.notice(c.Choice().Notice()...)
	}
}
