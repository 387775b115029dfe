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
	made := func() *sidecars.Image {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.sidecar
	}
	if image := made(); image != nil {
		return image, nil
	}
	err := s.once.do(ctx, "sidecars", func(ctx context.Context) error { // it may take long: nobody else waits for it
		if made() != nil {
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
	return made(), err
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
