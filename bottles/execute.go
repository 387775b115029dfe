package bottles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/pipelock"
	"bottle-tui/state"
)

// execution runs the plans of one operation on one bottle. It decides nothing: every step says what
// to do and the layout says with what.
type execution struct {
	sup    *Supervisor
	bottle *state.Bottle // nil for an orphan
	layout layout
	report func(step string, n, total int)
	log    func(BuildProgress)

	mu      sync.Mutex
	net     Network           // the internal network: as observed, or as just made
	newHome bool              // the volume of the agent's home was made by this execution
	secrets map[string]string // public name → token, once they were resolved; never written down
	values  map[string]string // token_ref → token, of every one that was asked for; never written down

	// keepsHome says that the agent is replaced and nothing else: what its programs are told in its home stays.
	keepsHome bool

	beside    errgroup.Group // what goes on beside the steps of a rebuild, and is over before an agent starts
	comparing sync.Mutex
	added     *addedHome // what the agent's image adds to the home; nil: not compared yet

	inSession *string // what the agent said of its session just before it is stopped; nil: it is still to be asked
}

// whole bounds a step that is not cut off by the failure of another one, or by a cancel.
const whole = time.Minute

// uncut is the context of a step that makes an object of the engine. Where its call were broken off, the engine would go
// on with it, and the object would be there after everything was looked for and removed. It ends with the program alone.
func (x *execution) uncut(ctx context.Context, s Step) (context.Context, context.CancelFunc) {
	switch s.Do {
	case doNetwork, doVolume, doCreate, doStart:
		return context.WithTimeout(x.sup.ctx, whole)
	}
	return ctx, func() {}
}

// run runs a plan, each step as soon as those it waits for are done. The first failure stops the rest, and those that are
// being done are waited for.
func (x *execution) run(ctx context.Context, p Plan) error {
	done := make(map[string]chan struct{}, len(p))
	for _, s := range p {
		done[s.Key()] = make(chan struct{})
	}
	var finished int
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range p {
		g.Go(func() error {
			for _, k := range s.After {
				select {
				case <-done[k]:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			x.mu.Lock()
			x.report(s.Key(), finished+1, len(p))
			x.mu.Unlock()
			began := time.Now()
			ctx, cancel := x.uncut(ctx, s)
			defer cancel()
			err := x.step(ctx, s)
			x.sup.cfg.Log.Debug("step", "identity", x.layout.identity, "step", s.Key(), "took", time.Since(began), "err", err)
			if err != nil {
				return err // it says what was tried, on what
			}
			x.mu.Lock()
			finished++
			x.mu.Unlock()
			close(done[s.Key()])
			return nil
		})
	}
	return g.Wait()
}

// step does one step.
func (x *execution) step(ctx context.Context, s Step) error {
	e := x.sup.cfg.Engine
	switch s.Do {
	case doImport:
		return x.sup.importSidecars(ctx)
	case doPrepare:
		return x.sup.once.do(ctx, s.Key(), func(ctx context.Context) error { return x.layout.profile.Prepare(ctx, e) })
	case doBuild:
		return x.sup.once.do(ctx, s.Key(), func(ctx context.Context) error { _, err := x.build(ctx); return err })
	case doNetwork:
		return x.network(ctx, s.Object)
	case doVolume:
		role := volumeRoles[slices.IndexFunc(volumeRoles, func(r string) bool { return volumeName(r, x.layout.identity) == s.Object })]
		if role == labelUser {
			x.mu.Lock()
			x.newHome = true
			x.mu.Unlock()
		}
		if role == labelHome { // by this and not by the volume it is known that the transcript is still to be put there
			if err := x.bottle.UpdateMetadata(func(m *state.Metadata) { m.Unrestored = true }); err != nil {
				return err
			}
		}
		return e.CreateVolume(ctx, s.Object, x.layout.labels(role))
	case doCreate:
		spec, err := x.layout.container(x.role(s.Object), x.internal())
		if err != nil {
			return err
		}
		return x.aboutMounts(spec.Name, e.CreateContainer(ctx, spec))
	case doCompare:
		return x.compareHome(ctx)
	case doConfigure:
		return x.configure(ctx, x.role(s.Object), s.Object)
	case doTokens:
		return x.giveTokens(ctx, s.Object)
	case doFill:
		return x.fillWorkspace(ctx, s.Object)
	case doRestore:
		return x.restore(ctx, s.Object)
	case doAttach:
		return x.sup.attach(ctx, x.layout.identity, s.Object, false)
	case doStart:
		_ = x.beside.Wait() // it told what went wrong, and fails no start
		return x.aboutMounts(s.Object, e.StartContainer(ctx, s.Object))
	case doReady:
		return x.sup.awaitReady(ctx, x.layout.identity, x.role(s.Object), s.Object)
	case doRunning:
		return x.running(ctx, s.Object)
	case doStop:
		return e.StopContainer(ctx, s.Object, x.grace())
	case doSnapshot:
		inSession := x.inSession
		x.inSession = nil // of the agent that runs next nothing is known
		return x.sup.keepConversation(ctx, x.bottle, x.layout.profile.Program, inSession)
	case doRemove:
		return e.RemoveContainer(ctx, s.Object)
	case doUnnet:
		return e.RemoveNetwork(ctx, s.Object)
	case doUnvolume:
		return e.RemoveVolume(ctx, s.Object)
	case doUnimage:
		if err := e.RemoveImage(ctx, s.Object); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		return nil
	case doForget:
		return x.bottle.Delete()
	}
	return fmt.Errorf("no such step: %s", s.Do)
}

func (x *execution) role(container string) Role {
	for _, r := range roles {
		if containerName(r, x.layout.identity) == container {
			return r
		}
	}
	return ""
}

func (x *execution) grace() time.Duration {
	if g := x.layout.profile.Program.Grace; g > 0 {
		return g
	}
	return 10 * time.Second
}

func (x *execution) internal() Network {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.net
}

func (x *execution) network(ctx context.Context, name string) error {
	role := labelOut
	if name == networkName(labelNet, x.layout.identity) {
		role = labelNet
	}
	n, err := x.sup.cfg.Engine.CreateNetwork(ctx, NetworkSpec{Name: name, Labels: x.layout.labels(role), Internal: role == labelNet})
	if err != nil {
		return err
	}
	if role == labelNet {
		x.mu.Lock()
		x.net = n
		x.mu.Unlock()
	}
	return nil
}

func (x *execution) build(ctx context.Context) (Image, error) {
	network := x.layout.profile.BuildNetwork
	if network == "" {
		network = "default"
	}
	labels := map[string]string{LabelRoot: x.layout.root, LabelAgent: x.layout.profile.Agent}
	if x.layout.own {
		labels[LabelIdentity] = x.layout.identity
	}
	return x.sup.cfg.Engine.Build(ctx, BuildSpec{
		Dockerfile: x.layout.source, Tag: x.layout.image, Labels: labels, Network: network,
	}, x.log)
}

// configure copies a container's configuration into it: the sidecars', and for an agent its files, of which it can
// read and not write those that say what is in force.
func (x *execution) configure(ctx context.Context, role Role, container string) error {
	if role == RoleAgent {
		p := x.layout.profile.Program
		if x.layout.ownInit {
			if err := x.sup.cfg.Engine.CopyIn(ctx, container, "/", x.sup.initArchive()); err != nil {
				return err
			}
		}
		if err := x.addHome(ctx, container); err != nil {
			return err
		}
		files, err := x.startFiles(ctx, container)
		if err != nil {
			return err
		}
		now := x.sup.cfg.Now()
		if err := x.sup.cfg.Engine.CopyIn(ctx, container, "/", archiveOf(p, now, files, p.userHome(), p.Home, Workspace)); err != nil {
			return err
		}
		x.sup.noteSaid(container, noteSession(p, x.layout.session), now, x.layout.session)
		return nil
	}
	content, err := x.layout.config(role)
	if err != nil {
		return fmt.Errorf("write the configuration of %s: %w", container, err)
	}
	archive, err := configArchive(role, content, x.layout.owner)
	if err != nil {
		return fmt.Errorf("write the configuration of %s: %w", container, err)
	}
	return x.sup.cfg.Engine.CopyIn(ctx, container, sidecars.ConfigDir, bytes.NewReader(archive))
}

// config is the configuration file of a sidecar.
func (l layout) config(role Role) ([]byte, error) {
	switch role {
	case RoleEgress:
		return l.egressConfig().Encode()
	case RolePipelock:
		return pipelock.Config{Allow: rulesOf(l.force.allow)}.Encode()
	case RoleCredProxy:
		return l.proxyConfig().Encode()
	case RoleGitGate:
		return l.gateConfig().Encode()
	case RoleSupervise:
		return l.superviseConfig().Encode()
	}
	return nil, fmt.Errorf("%s has no configuration", role)
}

// restore fills the agent's new home volume with the kept transcript.
func (x *execution) restore(ctx context.Context, container string) error {
	r, w := io.Pipe()
	p := x.layout.profile.Program
	go func() { _ = w.CloseWithError(x.bottle.TranscriptArchive(w, p.UID, p.GID)) }()
	err := x.sup.cfg.Engine.CopyIn(ctx, container, p.Home, r)
	_ = r.Close() // ends the writer if the engine did not read to the end
	return err
}

// running confirms that the agent runs on the image of the layout.
func (x *execution) running(ctx context.Context, container string) error {
	want, err := x.sup.cfg.Engine.Image(ctx, x.layout.image)
	if err != nil {
		return err
	}
	c, err := x.sup.cfg.Engine.Container(ctx, container)
	if err != nil {
		return err
	}
	if c.State != StateRunning {
		return fmt.Errorf("the agent ended at once: %s%s", ended(c), x.sup.lastWords(container))
	}
	if c.ImageID != want.ID {
		return fmt.Errorf("the agent runs on image %s, not on %s (%s)", c.ImageID, want.ID, x.layout.image)
	}
	return x.bottle.UpdateMetadata(func(m *state.Metadata) {
		m.ImageDigest, m.Engine, m.WholeHome = c.ImageID, x.sup.engineID(), true
		m.TaskGiven = m.TaskGiven || x.layout.profile.Program.Own && m.Task != ""
		m.EndedAt, m.EndReason, m.Unrestored = time.Time{}, "", false
	})
}
