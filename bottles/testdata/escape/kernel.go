package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func read(args []string) (string, error) {
	b, err := os.ReadFile(args[0])
	return string(b), err
}

func write(args []string) (string, error) {
	f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString("*.example.com\n")
	return "written", errors.Join(err, f.Close())
}

// openWrite opens a file for writing and writes nothing.
func openWrite(args []string) (string, error) {
	f, err := os.OpenFile(args[0], os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	return "opened", f.Close()
}

func create(args []string) (string, error) {
	f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	return "created", f.Close()
}

// rename puts a file of its own, or the one it is told, in the place of another: rename FROM TO.
func rename(args []string) (string, error) {
	if err := os.WriteFile(args[0], []byte("*.example.com\n"), 0o644); err != nil && !errors.Is(err, syscall.EISDIR) {
		return "", fmt.Errorf("its own file: %w", err)
	}
	return "renamed", os.Rename(args[0], args[1])
}

func remove(args []string) (string, error)  { return "removed", os.Remove(args[0]) }
func chmod(args []string) (string, error)   { return "changed", os.Chmod(args[0], 0o666) }
func chown(args []string) (string, error)   { return "changed", os.Chown(args[0], 1000, 1000) }
func symlink(args []string) (string, error) { return "linked", os.Symlink(args[0], args[1]) }

// link gives a file a second name: link FROM TO.
func link(args []string) (string, error) {
	there(args[0])
	return "linked", os.Link(args[0], args[1])
}

// bind mounts one place over another: bind FROM TO.
func bind(args []string) (string, error) {
	there(args[0])
	return "mounted", unix.Mount(args[0], args[1], "", unix.MS_BIND, "")
}

// there makes a file of its own where there is none, if it may.
func there(path string) {
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644); err == nil {
		f.Close()
	}
}

// mountFS mounts a file system: mountFS KIND WHERE [SOURCE].
func mountFS(args []string) (string, error) {
	source := args[0]
	if len(args) > 2 {
		source = args[2]
	}
	if err := unix.Mount(source, args[1], args[0], 0, ""); err != nil {
		return "", err
	}
	return "mounted", unix.Unmount(args[1], 0)
}

// mknod makes the memory device and reads it; a device that can't be read is no way out.
func mknod(args []string) (string, error) {
	if err := unix.Mknod(args[0], unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11))); err != nil {
		return "", err
	}
	defer os.Remove(args[0])
	f, err := os.OpenFile(args[0], os.O_WRONLY, 0) // the kernel's log
	if err != nil {
		return "", err
	}
	return "opened", f.Close()
}

// processes tells of one whose command line has a word in it and that is not its own: processes WORD.
func processes(args []string) (string, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if filepath.Dir(file) == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		b, err := os.ReadFile(file)
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if err == nil && strings.Contains(line, args[0]) && !strings.Contains(line, "escape") {
			return line, nil
		}
	}
	return "", fmt.Errorf("none among %d processes", len(files))
}

func pid(s string) int { n, _ := strconv.Atoi(s); return n }

// kill asks whether a process can be sent signals.
func kill(args []string) (string, error) { return "it can", unix.Kill(pid(args[0]), 0) }

func ptrace(args []string) (string, error) {
	runtime.LockOSThread()
	if err := unix.PtraceAttach(pid(args[0])); err != nil {
		return "", err
	}
	if _, err := unix.Wait4(pid(args[0]), nil, 0, nil); err != nil {
		return "", err
	}
	return "attached", unix.PtraceDetach(pid(args[0]))
}

// setns enters a namespace: setns FILE.
func setns(args []string) (string, error) {
	f, err := os.Open(args[0])
	if err != nil {
		return "", err
	}
	defer f.Close()
	runtime.LockOSThread()
	return "entered", unix.Setns(int(f.Fd()), 0)
}

var namespaces = map[string]int{
	"net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "pid": unix.CLONE_NEWPID, "cgroup": unix.CLONE_NEWCGROUP,
}

func unshare(args []string) (string, error) {
	runtime.LockOSThread()
	return "unshared", unix.Unshare(namespaces[args[0]])
}

// userns starts a program that is root in a user namespace of its own, and so may do more there.
func userns([]string) (string, error) {
	c := exec.Command("/proc/self/exe", "try", "rawsocket", "icmp")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := c.Output()
	if err == nil && !strings.Contains(string(out), "true") {
		err = errors.New(string(out))
	}
	return string(out), err
}

// setuid wants to be root.
func setuid([]string) (string, error) {
	if err := syscall.Setuid(0); err != nil {
		return "", err
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("it is still user %d", os.Geteuid())
	}
	return "it is root", nil
}

func tun([]string) (string, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("escape0")
	if err != nil {
		return "", err
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	return "made", unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
}

// raw calls the kernel for what only the host's administrator may, in a form that changes nothing where it is
// allowed: the kernel looks at the privilege first.
func raw(args []string) (string, error) {
	var err error
	switch args[0] {
	case "sethostname":
		var u unix.Utsname
		if err = unix.Uname(&u); err == nil {
			err = unix.Sethostname([]byte(unix.ByteSliceToString(u.Nodename[:])))
		}
	case "settime":
		_, _, e := unix.Syscall(unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, 0, 0)
		err = allowedBut(e, unix.EFAULT)
	case "chroot":
		err = unix.Chroot("/")
	case "bpf":
		_, _, e := unix.Syscall(unix.SYS_BPF, 0, 0, 0) // make a map, of nothing
		err = allowedBut(e, unix.EINVAL)
	case "module":
		_, _, e := unix.Syscall(unix.SYS_INIT_MODULE, 0, 0, 0)
		err = allowedBut(e, unix.EFAULT, unix.ENOEXEC, unix.EINVAL, unix.ENOSYS)
	case "handle":
		root, openErr := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if openErr != nil {
			return "", openErr
		}
		h := unix.NewFileHandle(1, make([]byte, 8))
		_, err = unix.OpenByHandleAt(root, h, unix.O_RDONLY)
		var e unix.Errno
		if errors.As(err, &e) {
			err = allowedBut(e, unix.ESTALE, unix.EINVAL)
		}
	case "keyring":
		_, err = unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
	case "perf":
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: unix.PERF_COUNT_SW_CPU_CLOCK}
		_, err = unix.PerfEventOpen(&attr, -1, 0, -1, 0)
	default:
		err = errors.New("no such call")
	}
	return "allowed", err
}

// allowedBut takes an error about the arguments for a permission.
func allowedBut(e unix.Errno, fine ...unix.Errno) error {
	for _, f := range fine {
		if e == f {
			return nil
		}
	}
	if e == 0 {
		return nil
	}
	return e
}
