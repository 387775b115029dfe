package bottles

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/pid1"
)

// sidecarImage is the sidecars' image for the engine that answers. It is made once, because naming it
// reads the whole program; the executable stays open with it.
func (s *Supervisor) sidecarImage(ctx context.Context) (*sidecars.Image, error) {
	if image := s.sidecarMade(); image != nil {
		return image, nil
	}
	err := s.once.do(ctx, "sidecars", func(ctx context.Context) error { // it may take long: nobody else waits for it
		if s.sidecarMade() != nil {
			return nil
		}
		info, err := s.cfg.Engine.Info(ctx)
		if err != nil {
			return err
		}
		binary, err := s.cfg.Binary(ctx, info.OS, info.Arch)
		if err != nil {
			return err
		}
		image, err := sidecars.NewImage(binary, binary.Size)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sidecar, s.binary, s.madeFor = image, binary, info
		return nil
	})
	return s.sidecarMade(), err
}

// sidecarMade is the sidecars' image once it was made; nil before.
func (s *Supervisor) sidecarMade() *sidecars.Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sidecar
}

// NoticeCompiles is the ID of the notice that the program compiles itself before it can make the sidecars' image.
const NoticeCompiles = "compiles-itself"

// planBinary tells of an executable that the sidecars can't run: a launch would begin with a compilation, or fail.
func (s *Supervisor) planBinary(p *Preflight) {
	if s.sidecarMade() != nil {
		return
	}
	const fix = "build it static: make build, or CGO_ENABLED=0 go build -trimpath -o bin/bottle-tui . in its source checkout"
	switch why, cannot := s.cfg.Compiles(); {
	case why != nil && cannot != nil:
		p.conflict(Conflict{fmt.Sprintf("the sidecars can't run this program, and it can't be compiled anew: %v; %v", why, cannot), fix})
	case why != nil:
		p.notice(Notice{ID: NoticeCompiles, Fix: fix,
			What: fmt.Sprintf("the sidecars can't run this program, which is compiled anew first, from its source checkout; it takes up to some minutes and 400 MB of the Go build cache: %v", why)})
	}
}

// stepCompile is the step in which the program is compiled for the sidecars, which can't run the one that runs here.
const stepCompile = "compile bottle-tui for the sidecars (once; up to some minutes)"

// compiles says whether the sidecars' image is still to be made, and that begins with a compilation.
func (s *Supervisor) compiles() bool {
	if s.sidecarMade() != nil {
		return false
	}
	why, cannot := s.cfg.Compiles()
	return why != nil && cannot == nil
}

// importSidecars puts the sidecars' image on the engine.
func (s *Supervisor) importSidecars(ctx context.Context) error {
	image, err := s.sidecarImage(ctx)
	if err != nil {
		return fmt.Errorf("make the sidecars' image: %w", err)
	}
	return s.once.do(ctx, image.Ref, func(ctx context.Context) error {
		return ImportShared(ctx, s.cfg.Engine, image.Ref, image.RootFS(), ImageConfig(image.Config))
	})
}

// initArchive is this program as the first process of an agent's container, to be unpacked at its root.
func (s *Supervisor) initArchive() io.Reader {
	s.mu.Lock()
	binary := s.binary
	s.mu.Unlock()
	var head bytes.Buffer
	// A Buffer does not fail, and what follows the header are the file's bytes.
	_ = tar.NewWriter(&head).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: pid1.Name, Mode: 0o755, Size: binary.Size})
	return io.MultiReader(&head, io.NewSectionReader(binary, 0, binary.Size), bytes.NewReader(make([]byte, (512-binary.Size%512)%512+1024)))
}

// ImportShared imports an image that this program made out of itself, unless the engine has it.
func ImportShared(ctx context.Context, engine Engine, ref string, rootfs io.Reader, config ImageConfig) error {
	if _, err := engine.Image(ctx, ref); err == nil || !errors.Is(err, ErrNotFound) {
		return err
	}
	labels := maps.Clone(config.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[LabelRoot] = SharedRoot
	config.Labels = labels
	_, err := engine.Import(ctx, ref, rootfs, config)
	return err
}
