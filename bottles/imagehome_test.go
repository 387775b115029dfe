package bottles

import (
	"fmt"
	"testing"
)

// What is remembered of the homes in images is bounded; the last one is known, however large it is.
func TestTheHomesOfImagesAreBounded(t *testing.T) {
	list := func(n int) map[string]bool {
		l := map[string]bool{}
		for i := range n {
			l[fmt.Sprint("/home/agent/", i)] = true
		}
		return l
	}
	var h homeLists
	for i := range 10 {
		h.put(fmt.Sprint("image", i), list(maxHomePaths/4))
		h.put(fmt.Sprint("image", i), list(1)) // it is known already
	}
	for i := range 10 {
		if known := len(h.get(fmt.Sprint("image", i))); known > 0 != (i >= 6) || known > 0 && known != maxHomePaths/4 {
			t.Errorf("of the image %d: %d paths", i, known)
		}
	}
	h.put("huge", list(2*maxHomePaths))
	if len(h.get("huge")) != 2*maxHomePaths || h.get("image9") != nil || h.paths != 2*maxHomePaths || len(h.images) != 1 {
		t.Errorf("with a huge one: %d images, %d paths", len(h.images), h.paths)
	}
}
