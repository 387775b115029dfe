package docker

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/protobuf/types/known/timestamppb"

	"bottle-tui/bottles"
)

// told runs records through a buildLog and returns what it says, with its error.
func told(t *testing.T, records string) (string, error) {
	t.Helper()
	var b strings.Builder
	log := newBuildLog(func(p bottles.BuildProgress) { b.WriteString(p.Line + "\n") })
	err := messages(strings.NewReader(records), log.add)
	log.flush()
	return b.String(), err
}

func trace(t *testing.T, s *controlapi.StatusResponse) string {
	t.Helper()
	raw, err := s.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return `{"id":"moby.buildkit.trace","aux":"` + base64.StdEncoding.EncodeToString(raw) + `"}`
}

func TestBuildLogKeepsLinesTogetherAcrossRecords(t *testing.T) {
	at := func(s float64) *timestamppb.Timestamp {
		return timestamppb.New(time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))))
	}
	a, b := "sha256:a", "sha256:b"
	text, err := told(t, trace(t, &controlapi.StatusResponse{
		Vertexes: []*controlapi.Vertex{{Digest: a, Name: "[build 1/2] RUN one", Started: at(0)}, {Digest: b, Name: "[2/2] RUN two", Started: at(0)}},
		Logs:     []*controlapi.VertexLog{{Vertex: a, Timestamp: at(0.5), Msg: []byte("half a li")}, {Vertex: b, Timestamp: at(1), Msg: []byte("two\r\nno end")}},
	})+trace(t, &controlapi.StatusResponse{
		Logs: []*controlapi.VertexLog{{Vertex: a, Timestamp: at(1.5), Msg: []byte("ne\n\n")}},
		Vertexes: []*controlapi.Vertex{{Digest: a, Name: "[build 1/2] RUN one", Started: at(0), Completed: at(2)},
			{Digest: b, Name: "[2/2] RUN two", Started: at(0), Completed: at(2), Error: "exit code: 1"}},
	})+`{"errorDetail":{"message":"it failed"},"error":"it failed"}`)
	want := "#1 [build 1/2] RUN one\n#2 [2/2] RUN two\n#2 1.000 two\n#1 1.500 half a line\n#1 1.500 \n#1 DONE 2.0s\n#2 no end\n#2 ERROR: exit code: 1\n"
	if text != want || err == nil || err.Error() != "it failed" {
		t.Errorf("%v\n%s\nwant\n%s", err, text, want)
	}
}

func TestBuildLogBoundsALineWithoutEnd(t *testing.T) {
	record, err := json.Marshal(map[string]string{"stream": strings.Repeat("x", 1000)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := told(t, strings.Repeat(string(record), 1000))
	if err != nil || strings.Count(text, "x") != 1_000_000 || strings.Count(text, "\n") != 1_000_000/maxLine+1 {
		t.Errorf("%d bytes in %d lines, %v", strings.Count(text, "x"), strings.Count(text, "\n"), err)
	}
}

func FuzzBuildLog(f *testing.F) {
	for _, s := range []string{`{"stream":"Step 1/2 : FROM x\n"}`, `{"id":"moby.buildkit.trace","aux":"AAAA"}`, `{"id":"moby.buildkit.trace","aux":7}`,
		`{"aux":{"ID":"sha256:1"}}`, `{"error":"x"}`, `{"status":"Pulling","id":"latest","progressDetail":{"current":1}}`, `[]`, `{"stream":`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, records string) {
		log := newBuildLog(func(p bottles.BuildProgress) {
			if strings.ContainsRune(p.Line, '\n') {
				t.Errorf("a line end within %q", p.Line)
			}
		})
		err := messages(strings.NewReader(records), log.add)
		log.flush()
		if errors.Is(err, io.EOF) {
			t.Error("the end of the stream is told as an error")
		}
	})
}
