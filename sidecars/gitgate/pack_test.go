package gitgate

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// made builds a pack entry by entry.
type made struct {
	bytes.Buffer
	n uint32
	z *zlib.Writer
}

func (m *made) header(k kind, size int64) int64 {
	at := int64(m.Len()) + 12
	b := byte(k)<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		m.WriteByte(b | 0x80)
		b = byte(size & 0x7f)
	}
	m.WriteByte(b)
	m.n++
	return at
}

func (m *made) data(b []byte) {
	if m.z == nil {
		m.z = zlib.NewWriter(m)
	}
	m.z.Reset(m)
	m.z.Write(b)
	m.z.Close()
}

// zeros is an object of n zeros, in less time than it takes to pack them.
func (m *made) zeros(n int64) {
	m.header(kindBlob, n)
	packed, known := packedZeros[n]
	if !known {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		io.CopyN(z, endless{}, n)
		z.Close()
		packed = b.Bytes()
		packedZeros[n] = packed
	}
	m.Write(packed)
}

var packedZeros = map[int64][]byte{}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func (m *made) object(k kind, content string) int64 {
	at := m.header(k, int64(len(content)))
	m.data([]byte(content))
	return at
}

func (m *made) ofs(base int64, delta []byte) int64 {
	at := m.header(kindOfsDelta, int64(len(delta)))
	back := at - base
	buf := []byte{byte(back & 0x7f)}
	for back >>= 7; back > 0; back >>= 7 {
		back--
		buf = append([]byte{0x80 | byte(back&0x7f)}, buf...)
	}
	m.Write(buf)
	m.data(delta)
	return at
}

func (m *made) ref(base oid, delta []byte) {
	m.header(kindRefDelta, int64(len(delta)))
	m.Write(base[:])
	m.data(delta)
}

func (m *made) pack() []byte {
	b := append([]byte("PACK\x00\x00\x00\x02"), binary.BigEndian.AppendUint32(nil, m.n)...)
	b = append(b, m.Bytes()...)
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// delta writes a delta whose result is the base times over.
func delta(base, result int64, times int) []byte {
	var b []byte
	b = binary.AppendUvarint(b, uint64(base))
	b = binary.AppendUvarint(b, uint64(result))
	for range times {
		b = append(b, 0x80|0x10|0x20|0x40, byte(base), byte(base>>8), byte(base>>16))
	}
	return b
}

func blobOid(s string) oid { return sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(s), s))) }

// take takes a pack in as a push does.
func take(dir string, b []byte, maxPush, maxObject int64) (p *pack, err error) {
	held := &spool{dir: dir, room: 64 << 20}
	defer func() {
		if err == nil && held.used != 0 {
			err = fmt.Errorf("%d bytes are still counted", held.used)
		}
	}()
	f, err := held.create()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err = readPack(bytes.NewReader(b), f, maxPush, maxObject, nil)
	if err != nil {
		return nil, err
	}
	r := newResolver(context.Background(), p, held)
	defer r.close()
	if _, err := learn(context.Background(), r, func(kind, oid, []byte) error { return nil }); err != nil {
		return nil, err
	}
	// As the scan reads it, once more.
	return p, r.run(func(e *entry) bool { return e.kind == kindBlob }, visit{
		begin: func(kind, int64, int32) (io.Writer, error) { return io.Discard, nil },
		ended: func(kind, int32, oid) error { return nil },
	})
}

func TestHostilePacks(t *testing.T) {
	million := strings.Repeat("\x00", 1<<20)
	for name, c := range map[string]struct {
		build func(m *made) []byte
		want  string
	}{
		"a file that unpacks to a gigabyte": {func(m *made) []byte {
			m.header(kindBlob, 1<<30) // it says so, and is not read
			m.data([]byte(million))
			return m.pack()
		}, "a file of 1024 MiB is larger than 8192 KiB"},
		"one that does not say so": {func(m *made) []byte {
			m.header(kindBlob, 100)
			m.data([]byte(million))
			return m.pack()
		}, "size"},
		"many files that unpack to much": {func(m *made) []byte {
			for range 300 {
				m.zeros(1 << 20)
			}
			return m.pack()
		}, "unpacked, the push is more than 4 times"},
		"changes that grow": {func(m *made) []byte {
			at := m.object(kindBlob, million)
			for range 100 {
				m.ofs(at, delta(1<<20, 6<<20, 6))
			}
			return m.pack()
		}, "unpacked, the push is more than 4 times"},
		"a change whose result is too large": {func(m *made) []byte {
			at := m.object(kindBlob, million)
			m.ofs(at, delta(1<<20, 100<<20, 100))
			return m.pack()
		}, "a file of 100 MiB is larger"},
		"changes on changes without end": {func(m *made) []byte {
			at := m.object(kindBlob, "x")
			for range 5000 {
				at = m.ofs(at, delta(1, 1, 1))
			}
			return m.pack()
		}, "more than 4095 deep"},
		"the same base many times, each with the same changes": {func(m *made) []byte {
			text := "x"
			for range 40 {
				m.object(kindBlob, text)
			}
			for range 22 {
				id := blobOid(text)
				text += text
				for range 2 {
					m.ref(id, delta(int64(len(text)/2), int64(len(text)), 2))
				}
				if len(text) > 1<<20 {
					break
				}
			}
			return m.pack()
		}, ""},
		"a change to what is not there": {func(m *made) []byte { m.ref(oid{1}, delta(1, 1, 1)); return m.pack() }, "not in it"},
		"a change to what is before the pack": {func(m *made) []byte {
			m.object(kindBlob, "x")
			m.ofs(-5000, delta(1, 1, 1))
			return m.pack()
		}, "not in it"},
		"a change that reads behind its base": {func(m *made) []byte {
			at := m.object(kindBlob, "x")
			m.ofs(at, []byte{1, 4, 0x90, 4})
			return m.pack()
		}, "leads out of"},
		"a change for another base": {func(m *made) []byte {
			at := m.object(kindBlob, "xy")
			m.ofs(at, delta(1, 1, 1))
			return m.pack()
		}, "for another object"},
		"a change without an operation": {func(m *made) []byte {
			at := m.object(kindBlob, "x")
			m.ofs(at, []byte{1, 1, 0})
			return m.pack()
		}, "leads out of"},
		"more objects than there are": {func(m *made) []byte { m.object(kindBlob, "x"); m.n = 9; return m.pack() }, "object 2"},
		"too many objects":            {func(m *made) []byte { m.n = maxObjects + 1; return m.pack() }, "more than"},
		"no pack":                     {func(*made) []byte { return []byte("PACKxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") }, "no pack"},
		"no kind":                     {func(m *made) []byte { m.object(5, "x"); return m.pack() }, "a kind that git does not have"},
		"a directory that is none":    {func(m *made) []byte { m.object(kindTree, "100644 x"); return m.pack() }, "not in git's form"},
		"a commit that is none":       {func(m *made) []byte { m.object(kindCommit, "x"); return m.pack() }, "does not begin with its directory"},
		"a large commit":              {func(m *made) []byte { m.object(kindCommit, strings.Repeat("x", maxOneMeta+1)); return m.pack() }, "more than git-gate looks at"},
		"a small one":                 {func(m *made) []byte { m.object(kindBlob, "x"); return m.pack() }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			began := time.Now()
			_, err := take(dir, c.build(&made{}), 8<<20, 8<<20)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, not %q", err, c.want)
			}
			if d := time.Since(began); d > 30*time.Second {
				t.Errorf("it took %v", d)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// realPack is a pack as git makes it.
func realPack(t testing.TB, args ...string) (pack []byte, objects []string) {
	t.Helper()
	dir := t.TempDir()
	script := `set -e; git init -q -b main .; git config user.name A; git config user.email a@example.com
for i in $(seq 1 30); do seq $i 400 >f; seq 1 $i >d$i; mkdir -p sub/$i; cp f sub/$i/g; git add .; git commit -qm "commit $i"; done; git tag -a -m tag v1`
	for _, s := range []string{script, "git rev-list --objects --all | cut -d' ' -f1 >ids; git rev-parse v1 >>ids; git pack-objects -q --stdout --delta-base-offset --window=50 <ids >pack; cat ids"} {
		cmd := exec.Command("sh", "-c", s)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Skipf("git: %v %s", err, out)
		}
		objects = strings.Fields(string(out))
	}
	pack, err := os.ReadFile(dir + "/pack")
	if err != nil {
		t.Fatal(err)
	}
	return pack, objects
}

func TestObjectsOfAPackAreNamedAsGitNamesThem(t *testing.T) {
	b, want := realPack(t)
	p, err := take(t.TempDir(), b, 64<<20, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	deltas := 0
	for _, e := range p.entries {
		have[e.id.String()] = true
		if e.delta {
			deltas++
		}
	}
	for _, id := range want {
		if !have[id] {
			t.Errorf("%s is not among them", id)
		}
	}
	if deltas < 10 {
		t.Errorf("only %d deltas: the pack tests nothing", deltas)
	}
}

func FuzzPack(f *testing.F) {
	real, _ := realPack(f)
	f.Add(real)
	m := &made{}
	at := m.object(kindBlob, "some text that others build on")
	m.ofs(at, delta(30, 60, 2))
	m.ref(blobOid("some text that others build on"), delta(30, 90, 3))
	m.object(kindTree, "100644 x\x00"+strings.Repeat("a", 20))
	m.object(kindCommit, "tree "+strings.Repeat("a", 40)+"\n\nx")
	f.Add(m.pack())
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		began := time.Now()
		p, err := take(dir, b, 1<<20, 1<<20)
		if err == nil {
			for _, e := range p.entries {
				if !e.done || e.kind < kindCommit || e.kind > kindTag {
					t.Errorf("an object without a name: %+v", e)
				}
			}
		}
		var no *refusal
		if errors.As(err, &no) && no.reason == "" {
			t.Error("a refusal without a reason")
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%v", d)
		}
	})
}

func FuzzRequest(f *testing.F) {
	q := &request{commands: []command{{new: oid{1}, ref: "refs/heads/x"}}, caps: []string{"report-status", "push-options", "side-band-64k"}, options: []string{"a"}}
	f.Add(q.head())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(bytes.NewReader(b))
		if err != nil || q == nil {
			return
		}
		again, err := readRequest(bytes.NewReader(q.head()))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(q) {
			t.Errorf("%v becomes %v: %v", q, again, err)
		}
		r, _ := newRemote(Remote{Name: "r", Upstream: "https://host.example.com/r", AllowRefs: []string{"refs/heads/a/*"}})
		bad := r.policy(q)
		for _, c := range q.commands {
			if bad[c.ref] == nil && (!strings.HasPrefix(c.ref, "refs/heads/a/") || strings.ContainsAny(c.ref, " \n\x00*") || c.new.none()) {
				t.Errorf("%q passes", c.ref)
			}
		}
	})
}
