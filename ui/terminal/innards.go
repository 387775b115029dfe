package terminal

import (
	"fmt"
	"reflect"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

// innards are parts of an emulator that it gives no door to. Without them the alternate screen would
// keep 10,000 lines of scrollback that nobody can read (100 MB of cells for each agent), a scrolled line
// would cost a copy of every cell of the screen, the parser would hold 4 MiB for strings that the
// filter never lets through, and a pending wrap could not be known.
type innards struct {
	screens [2]*vt.Screen // the main one, the alternate one
	buffers [2]*uv.RenderBuffer
	phantom *bool // the next character wraps first
}

// reach finds the innards of e. It panics when the emulator's library has changed its shape, which
// go.mod prevents and every test of this package would tell.
func reach(e *vt.Emulator) innards {
	v := reflect.ValueOf(e).Elem()
	screens := field[[2]vt.Screen](v, "scrs")
	in := innards{phantom: field[bool](v, "atPhantom")}
	for i := range screens {
		in.screens[i] = &screens[i]
		in.buffers[i] = *field[*uv.RenderBuffer](reflect.ValueOf(&screens[i]).Elem(), "buf")
	}
	(*field[*ansi.Parser](v, "parser")).SetDataSize(64)
	return in
}

func field[T any](of reflect.Value, name string) *T {
	f := of.FieldByName(name)
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		panic(fmt.Sprintf("terminal: %s has no field %s of type %s any more", of.Type(), name, reflect.TypeFor[T]()))
	}
	return (*T)(f.Addr().UnsafePointer())
}
