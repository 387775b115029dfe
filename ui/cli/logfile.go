package cli

import (
	"errors"
	"os"
	"sync"
)

// maxLog is the size in bytes from which on the file of --log is set aside as <file>.1, in place of the one before.
const maxLog = 16 << 20

// logFile is the file of --log. Several programs may write to one.
type logFile struct {
	path string
	most int64

	mu   sync.Mutex
	file *os.File
	size int64
}

func openLog(path string, most int64) (*logFile, error) {
	l := &logFile{path: path, most: most}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l.file, l.size = f, 0
	if info, err := f.Stat(); err == nil {
		l.size = info.Size()
	}
	return nil
}

// Write adds to the file. One that can't be set aside goes on to grow.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size >= l.most {
		l.setAside()
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *logFile) setAside() {
	ours, err := l.file.Stat()
	if err != nil || !ours.Mode().IsRegular() {
		l.size = 0 // a terminal or a pipe
		return
	}
	there, err := os.Lstat(l.path)
	if err == nil && os.SameFile(ours, there) {
		err = os.Rename(l.path, l.path+".1")
	}
	old := l.file
	if err != nil && !errors.Is(err, os.ErrNotExist) || l.open() != nil {
		l.size = 0
		return
	}
	_ = old.Close() // what was written to it is there
}

// Close ends the writing.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
