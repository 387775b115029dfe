package bottles

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
)

// arrange fills the layout of an operation from the disk and the journal: with the profile that the bottle runs on.
func (s *Supervisor) arrange(ctx context.Context, x *execution, j journal) error {
	meta, err := x.bottle.Metadata()
	if err != nil {
		return err
	}
	profile, err := s.profileOf(x.bottle)
	if err != nil {
		return err
	}
	profile = s.prepared(profile, meta)
	if s.compiles() {
		x.report(stepCompile, 0, 0)
	}
	image, err := s.sidecarImage(ctx)
	if err != nil {
		return err
	}
	own, err := x.bottle.Dockerfile()
	if err != nil {
		return err
	}
	l := &x.layout
	l.profile, l.sidecars, l.owner = profile, image.Ref, sidecarOwner()
	s.mu.Lock()
	l.ownInit = !s.madeFor.Init // known since the sidecars' image was named
	s.mu.Unlock()
	l.queueDir = s.cfg.Root.QueueDir(l.identity)
	l.dress(own)
	l.begin(j)
	st, err := s.standing(x.bottle)
	if err != nil {
		return err
	}
	if l.host, err = hostAddresses(); err != nil {
		return err
	}
	stages := st.stages(s.cfg.Now())
	l.force, l.later, l.tokens = stages[0].inForce, stages[1:], tokensOf(profile, st.grants)
	if s.cfg.Screens != nil {
		l.cols, l.rows = s.cfg.Screens(l.identity).Size()
	}
	if profile.Supervise {
		return s.box(l.identity).Make(l.owner)
	}
	return nil
}

// begin sets in which session the program begins, and with which words.
func (l *layout) begin(j journal) {
	l.session, l.aside = j.Session, j.Aside
	if j.Fresh {
		l.args = l.profile.Program.startArgs(j.Session, j.Task)
	} else {
		l.args = l.profile.Program.resumeArgs(j.Session, j.Message)
	}
}

// hostAddresses are this machine's own addresses that egress would take for any other's: the engine is here, so what is
// dialled there comes from inside, past what guards the machine towards the network. The others, such as those of the
// engine's bridges, which come and go, egress does not dial anyway.
func hostAddresses() ([]string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses, which egress must not lead to: %w", err)
	}
	var own []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && egress.Public(ip.Unmap()) {
				own = append(own, ip.Unmap().String())
			}
		}
	}
	slices.Sort(own)
	return slices.Compact(own), nil
}

// sidecarOwner is the user that sidecars run as: the operator, who owns the queue directory, or for
// root somebody who is not.
func sidecarOwner() int {
	if uid := os.Getuid(); uid > 0 {
		return uid
	}
	return sidecars.UID
}

// look observes what a plan for the bottle of x is made from.
func (s *Supervisor) look(ctx context.Context, x *execution) (observed, error) {
	have := observed{parts: newParts()}
	all, others, err := observeRoot(ctx, s.cfg.Engine, s.cfg.Root)
	if err != nil {
		return have, err
	}
	if p, ok := groupAll(all, others)[x.layout.identity]; ok {
		have.parts = p
	}
	x.mu.Lock()
	x.net = have.networks[labelNet]
	x.mu.Unlock()
	if x.bottle != nil {
		if have.transcript, err = x.bottle.HasTranscript(); err != nil {
			return have, err
		}
	}
	if x.layout.image == "" {
		return have, nil
	}
	if have.sidecarImage, err = s.hasImage(ctx, x.layout.sidecars); err != nil {
		return have, err
	}
	image, err := s.findImage(ctx, x.layout.image)
	if err != nil {
		return have, err
	}
	have.agentImage = image.ID != ""
	if x.bottle == nil {
		return have, nil
	}
	meta, err := x.bottle.Metadata()
	have.otherImage, have.unrestored = meta.ImageDigest != "" && meta.ImageDigest != image.ID, meta.Unrestored
	return have, err
}

// findImage looks for an image. One that the engine does not have is without an ID, and no error.
func (s *Supervisor) findImage(ctx context.Context, ref string) (Image, error) {
	image, err := s.cfg.Engine.Image(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return Image{}, nil
	}
	return image, err
}

func (s *Supervisor) hasImage(ctx context.Context, ref string) (bool, error) {
	image, err := s.findImage(ctx, ref)
	return image.ID != "", err
}

// digest is the digest of the image of x, for a fact of the audit log that must not wait for the engine; where the
// engine can't say it, that is what is written down.
func (s *Supervisor) digest(ctx context.Context, x *execution) string {
	image, err := s.cfg.Engine.Image(ctx, x.layout.image)
	if err != nil {
		return "unknown: " + firstLine(err.Error())
	}
	return image.ID
}
