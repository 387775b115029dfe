package bottles

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"bottle-tui/sidecars"
)

// sidecarImage is the sidecars' image for the engine that answers. It is made once: naming it reads
// the whole program.
func (s *Supervisor) sidecarImage(ctx context.Context) (*sidecars.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sidecar != nil {
		return s.sidecar, nil
	}
	info, err := s.cfg.Engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	image, err := OpenImage(s.cfg.Binary, info, sidecars.NewImage)
	if err != nil {
		return nil, fmt.Errorf("make the sidecars' image: %w", err)
	}
	s.sidecar = image
	return image, nil
}

// OpenImage makes an image out of this program's executable for the engine's platform. The file stays
// open as long as the image is used.
func OpenImage[T any](binary func(os, arch string) (io.ReadCloser, int64, error), info EngineInfo,
	make func(io.ReaderAt, int64) (T, error)) (image T, err error) {
	r, size, err := binary(info.OS, info.Arch)
	if err != nil {
		return image, err
	}
	if at, ok := r.(io.ReaderAt); ok {
		return make(at, size)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		return image, fmt.Errorf("read this program's executable: %w", err)
	}
	return make(bytes.NewReader(content), size)
}

// importSidecars puts the sidecars' image on the engine.
func (s *Supervisor) importSidecars(ctx context.Context) error {
	image, err := s.sidecarImage(ctx)
	if err != nil {
		return err
	}
	return s.once.do(ctx, image.Ref, func() error {
		if _, err := s.cfg.Engine.Image(ctx, image.Ref); err == nil {
			return nil
		}
		_, err := s.cfg.Engine.Import(ctx, image.Ref, image.RootFS(), ImageConfig(image.Config))
		return err
	})
}
