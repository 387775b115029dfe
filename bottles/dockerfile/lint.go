package dockerfile

import (
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
)

// lintWarning turns one of BuildKit's lint warnings into a finding. Most are about style.
func (c *checker) lintWarning(rule, text string, line int) {
	severity := Note
	switch rule {
	case linter.RuleNoEmptyContinuation.Name, linter.RuleDuplicateStageName.Name, linter.RuleReservedStageName.Name,
		linter.RuleMultipleInstructionsDisallowed.Name:
		severity = Warning
	}
	c.add(line, severity, rule, "%s", literal(visible(text, 4*maxQuoted)))
}

// lint applies the linter's rules that BuildKit itself only runs while it converts a file, which
// would need its whole solver. They are given here with BuildKit's names and words.
func (c *checker) lint(f *file) {
	for _, w := range f.warnings {
		if w.Location != nil {
			c.lintWarning(linter.RuleNoEmptyContinuation.Name, linter.RuleNoEmptyContinuation.Format()+": it becomes an error in a later builder", w.Location.Start.Line)
		}
	}
	c.lintCasing(f)
	seen := map[string]bool{}
	for _, s := range f.stages {
		line := firstLine(s.Location)
		name := strings.ToLower(s.Name)
		switch {
		case name == "scratch" || name == "context":
			c.lintWarning(linter.RuleReservedStageName.Name, linter.RuleReservedStageName.Format(s.Name), line)
		case name != "" && seen[name]:
			c.lintWarning(linter.RuleDuplicateStageName.Name, linter.RuleDuplicateStageName.Format(s.Name), line)
		}
		seen[name] = true
		if s.Platform != "" && !strings.Contains(s.Platform, "$") {
			c.lintWarning(linter.RuleFromPlatformFlagConstDisallowed.Name, linter.RuleFromPlatformFlagConstDisallowed.Format(s.Platform), line)
		}
		c.lintStage(s)
	}
}

func (c *checker) lintStage(s stage) {
	workdir, shell := s.parent >= 0, false
	once := map[string]bool{}
	for _, command := range s.Commands {
		line := firstLine(command.Location())
		once1 := func() {
			name := strings.ToUpper(command.Name())
			if once[name] {
				c.lintWarning(linter.RuleMultipleInstructionsDisallowed.Name, linter.RuleMultipleInstructionsDisallowed.Format(name), line)
			}
			once[name] = true
		}
		starts := func(cmd instructions.ShellDependantCmdLine) {
			once1()
			if cmd.PrependShell && !shell {
				name := strings.ToUpper(command.Name())
				c.lintWarning(linter.RuleJSONArgsRecommended.Name, linter.RuleJSONArgsRecommended.Format(name), line)
			}
		}
		switch cmd := command.(type) {
		case *instructions.ShellCommand:
			shell = true
		case *instructions.CmdCommand:
			starts(cmd.ShellDependantCmdLine)
		case *instructions.EntrypointCommand:
			starts(cmd.ShellDependantCmdLine)
		case *instructions.HealthCheckCommand:
			once1()
		case *instructions.WorkdirCommand:
			if !workdir && !path.IsAbs(cmd.Path) && !strings.HasPrefix(cmd.Path, "$") {
				c.lintWarning(linter.RuleWorkdirRelativePath.Name, linter.RuleWorkdirRelativePath.Format(cmd.Path), line)
			}
			workdir = true
		case *instructions.EnvCommand:
			c.lintPairs("ENV", cmd.Env, line)
		case *instructions.LabelCommand:
			c.lintPairs("LABEL", cmd.Labels, line)
		}
	}
}

func (c *checker) lintPairs(name string, pairs instructions.KeyValuePairs, line int) {
	for _, p := range pairs {
		if p.NoDelim {
			c.lintWarning(linter.RuleLegacyKeyValueFormat.Name, linter.RuleLegacyKeyValueFormat.Format(name), line)
			return
		}
	}
}

// lintCasing finds instructions written in another case than most.
func (c *checker) lintCasing(f *file) {
	upper, lower := 0, 0
	for _, n := range f.nodes {
		switch n.Value {
		case strings.ToUpper(n.Value):
			upper++
		case strings.ToLower(n.Value):
			lower++
		}
	}
	casing, wanted := "uppercase", strings.ToUpper
	if lower > upper {
		casing, wanted = "lowercase", strings.ToLower
	}
	for _, n := range f.nodes {
		if n.Value != wanted(n.Value) {
			c.lintWarning(linter.RuleConsistentInstructionCasing.Name, linter.RuleConsistentInstructionCasing.Format(n.Value, casing), n.StartLine)
		}
	}
}
