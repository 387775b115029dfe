package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/bottles/workspace"
	"bottle-tui/queue"
	"bottle-tui/state"
	"bottle-tui/ui/preflight"
)

func (p *program) infoCommand() *cobra.Command {
	var format string
	var disk bool
	cmd := &cobra.Command{
		Use:   "info <agent|identity>",
		Short: "Tell what an agent of the manifest may do, or how a bottle is",
		Long: "Of an agent it tells what its profile lets it do; no engine is asked. Of a bottle it tells how it is, the\n" +
			"current three (allowlist, routes, Dockerfile), what was granted beyond the profile, and what waits for you.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format is text or json, not %q", format)
			}
			return p.work(func(cmd *cobra.Command, args []string) error { return p.info(cmd.Context(), args[0], format, disk) })(cmd, args)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().BoolVar(&disk, "disk", false, "of a bottle: "+diskHelp)
	return cmd
}

// info tells of the bottle of that identity, or else of the agent of that name.
func (p *program) info(ctx context.Context, name, format string, measure bool) error {
	root, engine, err := p.openReadOnly(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	bottle, unknown := root.Bottle(name)
	if unknown == nil {
		return p.infoBottle(ctx, root, engine, bottle, format, measure)
	}
	if !errors.Is(unknown, state.ErrUnknown) {
		return unknown
	}
	if err := p.needManifest("", name); err != nil {
		if none := (noAgent{}); errors.As(err, &none) {
			err = fmt.Errorf("%w\nNor is it a bottle: %s", err, known(root))
		}
		return err
	}
	c, err := p.catalog(engine, "")
	if err != nil {
		return err
	}
	defer c.close()
	profile, err := c.Profile(state.Metadata{AgentName: name})
	if err != nil {
		return err
	}
	facts := factsOf(profile)
	if format == "json" {
		return printJSON(p.out, facts)
	}
	return facts.text(p.out)
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(plainJSON{out})
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// agentFacts are what `info <agent>` tells: the profile without a launch.
type agentFacts struct {
	Agent        string                `json:"agent"`
	Profile      string                `json:"profile"`
	Manifest     string                `json:"manifest"`
	Home         string                `json:"profile_manifest"`
	Command      []string              `json:"command"`
	Claude       bool                  `json:"claude_code"`
	Args         []string              `json:"args"`
	Model        string                `json:"model"`
	Settings     []string              `json:"settings"`    // names of those that the manifest adds
	Servers      []string              `json:"mcp_servers"` // names of those besides supervise
	Prompt       string                `json:"prompt"`
	Skills       []string              `json:"skills"`
	EnvNames     []string              `json:"env_names"`
	Egress       bottles.PlannedEgress `json:"egress"`
	Routes       []route               `json:"cred_proxy"`
	Remotes      []bottles.Remote      `json:"git_remotes"`
	Supervise    bool                  `json:"supervise"`
	BuildNetwork string                `json:"build_network"`
	Memory       int64                 `json:"memory"` // bytes
	Pids         int64                 `json:"pids"`
	Dockerfile   string                `json:"dockerfile"`
}

// route is a route of an agent or of a bottle; TokenRef is a public name.
type route struct {
	Path       string   `json:"path"`
	Upstream   string   `json:"upstream"`
	AuthScheme string   `json:"auth_scheme"`
	TokenRef   string   `json:"token_ref"`
	Roles      []string `json:"role"`
}

// routesOf are routes with the public names of their tokens, which name makes of a reference.
func routesOf(all []bottles.Route, name func(string) string) []route {
	out := make([]route, 0, len(all))
	for _, r := range all {
		out = append(out, route{r.Path, r.Upstream, r.AuthScheme, name(r.TokenRef), list(r.Roles)})
	}
	return out
}

// list is a list that is never null in JSON.
func list[T any](all []T) []T { return append([]T{}, all...) }

func factsOf(p bottles.Profile) agentFacts {
	f := agentFacts{
		Agent: p.Agent, Profile: p.Name, Manifest: p.Manifest, Home: p.HomeManifest(), Command: list(p.Program.Command),
		Claude: p.RunsClaude(), Args: list(p.Args), Model: p.Model,
		Settings: list(slices.Sorted(maps.Keys(p.Settings))), Servers: list(slices.Sorted(maps.Keys(p.MCPServers))), Prompt: p.Prompt, Skills: list(p.Skills), EnvNames: []string{},
		Egress: bottles.PlannedEgress{Engine: p.EgressEngine, Image: p.EgressImage, Allow: list(p.Egress)},
		Routes: routesOf(p.Routes, bottles.TokenName), Remotes: bottles.ShownRemotes(p.Git),
		Supervise: p.Supervise, BuildNetwork: p.BuildNetwork, Memory: p.Memory, Pids: p.Pids, Dockerfile: string(p.Dockerfile),
	}
	for _, e := range p.Env {
		name, _, _ := strings.Cut(e, "=")
		f.EnvNames = append(f.EnvNames, name)
	}
	slices.Sort(f.EnvNames)
	if f.Egress.Engine == "" {
		f.Egress.Engine = "builtin"
	}
	if f.Memory == 0 {
		f.Memory = bottles.DefaultMemory
	}
	if f.Pids == 0 {
		f.Pids = bottles.DefaultPids
	}
	return f
}

// table writes facts as a column of labels and one of values.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer) table { return table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)} }

// row adds a fact; one that is empty is left out.
func (t table) row(label, value string) {
	if value != "" {
		fmt.Fprintf(t, "%s\t%s\n", label, queue.Visible(value))
	}
}

// rows adds a fact of several lines.
func (t table) rows(label, none string, lines []string) {
	if len(lines) == 0 {
		t.row(label, none)
		return
	}
	for _, line := range lines {
		fmt.Fprintf(t, "%s\t%s\n", label, queue.Visible(line))
		label = ""
	}
}

func routeLines(routes []route) []string {
	var lines []string
	for _, r := range routes {
		line := fmt.Sprintf("%s → %s, %s as %s", r.Path, r.Upstream, r.TokenRef, r.AuthScheme)
		if len(r.Roles) > 0 {
			line += "; " + strings.Join(r.Roles, ", ")
		}
		lines = append(lines, line)
	}
	return lines
}

func (f agentFacts) text(out io.Writer) error {
	t := newTable(out)
	agent, command := f.Agent, preflight.Command(f.Command)
	if f.Manifest != f.Home {
		agent += ", of " + f.Manifest
	}
	if !f.Claude && len(f.Command) > 0 {
		command += ", in the place of Claude Code"
	}
	t.row("agent", agent)
	t.row("profile", f.Profile+", of "+f.Home)
	t.row("command", command)
	t.row("model", f.Model)
	t.row("settings", strings.Join(f.Settings, ", "))
	t.row("MCP servers", strings.Join(f.Servers, ", "))
	t.row("prompt", preflight.Beginning(f.Prompt))
	t.row("skills", strings.Join(f.Skills, ", "))
	t.row("variables", strings.Join(f.EnvNames, ", "))
	egress := "egress"
	if f.Egress.Engine != "builtin" {
		egress += " (" + f.Egress.Engine + " from " + f.Egress.Image + ")"
	}
	t.rows(egress, "no host can be reached", f.Egress.Allow)
	t.rows("routes", "none", routeLines(f.Routes))
	var remotes []string
	for _, g := range f.Remotes {
		remotes = append(remotes, g.Name+": "+g.Upstream+", "+preflight.Credential(g), "  "+preflight.Pushes(g))
	}
	t.rows("git", "", remotes)
	requests := "the agent can't ask you for anything"
	if f.Supervise {
		requests = "the agent may ask you for capabilities, hosts and routes"
	}
	t.row("requests", requests)
	t.row("limits", fmt.Sprintf("%s of memory, %s processes", workspace.Size(f.Memory), workspace.Count(int(f.Pids))))
	t.row("build", "with the network "+f.BuildNetwork)
	return t.Flush()
}

// bottleFacts are what `info <identity>` tells.
type bottleFacts struct {
	Identity    string          `json:"identity"`
	Agent       string          `json:"agent"`
	Status      bottles.Status  `json:"status"`
	Detail      string          `json:"detail"`
	Profile     string          `json:"profile"`
	Manifest    string          `json:"manifest"`
	CWD         string          `json:"cwd"`
	CopyCWD     bool            `json:"copy_cwd"`
	StartedAt   time.Time       `json:"started_at,omitzero"`
	EndedAt     time.Time       `json:"ended_at,omitzero"`
	EndReason   string          `json:"end_reason"`
	SessionID   string          `json:"session_id"`
	Image       string          `json:"image"`
	ImageDigest string          `json:"image_digest"`
	Rebuilt     bool            `json:"rebuilt"`
	Engine      string          `json:"engine"`         // its address, and why it was chosen
	Disk        *bottles.Usage  `json:"disk,omitempty"` // with --disk
	Allow       []string        `json:"allowlist"`
	Routes      []route         `json:"routes"`
	Dockerfile  string          `json:"dockerfile"` // in force; "" when it was never launched by this version
	Grants      []bottles.Grant `json:"grants"`
	Requests    []asked         `json:"requests"`
}

// asked is a request that waits. Its text is the agent's.
type asked struct {
	ID            string    `json:"id"`
	Tool          string    `json:"tool"`
	State         string    `json:"state"`
	Justification string    `json:"justification"`
	ArrivedAt     time.Time `json:"arrived_at"`
}

// infoBottle tells of one bottle. What the disk knows is worth having although the engine does not answer.
func (p *program) infoBottle(ctx context.Context, root *state.Root, engine bottles.Engine, disk *state.Bottle, format string, measure bool) error {
	snap, surveyErr := bottles.Survey(ctx, root, engine, time.Now())
	i := slices.IndexFunc(snap.Bottles, func(b bottles.Bottle) bool { return b.Identity == disk.Identity() })
	if i < 0 {
		return errors.Join(fmt.Errorf("%s was deleted at this moment", disk.Identity()), surveyErr)
	}
	b := snap.Bottles[i]
	f := bottleFacts{
		Identity: b.Identity, Agent: b.Agent, Status: b.Status, Detail: b.Detail, CWD: b.CWD, StartedAt: b.StartedAt, EndedAt: b.EndedAt,
		EndReason: b.EndReason, SessionID: b.SessionID, Image: b.Image, ImageDigest: b.ImageDigest, Rebuilt: b.Rebuilt,
		Allow: list(b.Allow), Routes: routesOf(b.Routes, func(public string) string { return public }), Grants: list(b.Grants), Requests: []asked{},
	}
	for i := range f.Grants {
		f.Grants[i].Tokens, f.Grants[i].Undo = nil, bottles.Change{} // where tokens come from is the host's matter
	}
	for _, r := range b.Requests {
		f.Requests = append(f.Requests, asked{r.ID, r.Tool, string(r.State), r.Justification, r.ArrivedAt})
	}
	if c, ok := engine.(bottles.Chooser); ok {
		f.Engine = strings.TrimPrefix(strings.Join(engineLines(c.Choice()), "; "), "engine: ")
	}
	meta, err := disk.Metadata()
	if err == nil {
		f.Profile, f.Manifest, f.CopyCWD = meta.Profile, meta.Manifest, meta.CopyCWD
	}
	if measure && surveyErr == nil {
		var all map[string]bottles.Usage
		all, surveyErr = usage(ctx, root, engine)
		if u, ok := all[f.Identity]; ok {
			f.Disk = &u
		}
	}
	dockerfile, fileErr := disk.Config("Dockerfile")
	f.Dockerfile = string(dockerfile)
	if format == "json" {
		err = errors.Join(err, fileErr, printJSON(p.out, f))
	} else {
		err = errors.Join(err, fileErr, f.text(p.out, disk))
	}
	return errors.Join(err, surveyErr)
}

func moment(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Local().Format("2006-01-02 15:04:05 MST")
}

func (f bottleFacts) text(out io.Writer, disk *state.Bottle) error {
	t := newTable(out)
	t.row("bottle", f.Identity)
	status := string(f.Status)
	if f.Detail != "" {
		status += " (" + f.Detail + ")"
	}
	t.row("status", status)
	t.row("agent", f.Agent)
	t.row("profile", f.Profile)
	t.row("manifest", f.Manifest)
	switch {
	case f.CWD != "" && f.CopyCWD:
		t.row("directory", f.CWD+", copied")
	default:
		t.row("directory", f.CWD)
	}
	t.row("started", moment(f.StartedAt))
	t.row("ended", moment(f.EndedAt))
	t.row("session", f.SessionID)
	t.row("image", f.Image)
	t.row("digest", f.ImageDigest)
	if f.Rebuilt {
		t.row("Dockerfile", "its own, after a capability was approved: "+disk.Dir()+"/Dockerfile")
	} else {
		t.row("Dockerfile", "its profile's")
	}
	t.row("engine", f.Engine)
	if f.Disk != nil {
		t.row("disk", f.Disk.String())
	}
	t.rows("egress", "no host can be reached", f.Allow)
	t.rows("routes", "none", routeLines(f.Routes))
	var grants, requests []string
	for _, g := range f.Grants {
		grants = append(grants, preflight.Grant(g))
	}
	t.rows("granted", "nothing beyond the profile", grants)
	for _, r := range f.Requests {
		requests = append(requests, fmt.Sprintf("%s, %s: %s", r.Tool, moment(r.ArrivedAt), r.Justification))
	}
	t.rows("waiting", "no request", requests)
	return t.Flush()
}
