package bottles_test

import "testing"

// A program that is found running draws its screen anew, also when it is slow to see that its window changed.
func TestWhoIsFoundRunningDrawsItselfAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	w.sup.Resize(id, 80, 24)
	w.sup.Type(id, []byte("page\n"))
	w.awaitText(id, "page 1 is 80×24")
	w.end()

	w.run(nil)
	w.awaitText(id, "page 3 is 80×24")

	// So does one whose terminal was let go of while the program was suspended.
	w.sup.ReleaseTerminals()
	w.sup.RetakeTerminals()
	w.awaitText(id, "page 5 is 80×24")
}
