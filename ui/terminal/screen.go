// Package terminal is an agent's terminal inside the program: what the agent prints goes in as bytes,
// what the operator sees comes out as rows of cells. Nothing that an agent prints may pass through
// it raw: no title, no clipboard, no query, no sequence.
package terminal

import (
	tea "charm.land/bubbletea/v2"
)

// MaxScrollback is the most lines of scrollback that a Screen keeps.
const MaxScrollback = 1000

// Screen is one agent's terminal. Its methods may be called from any goroutine.
type Screen struct{}

// New makes a terminal of cols×rows cells that keeps at most scrollback lines (at most MaxScrollback).
// What the agent's program must be answered (its queries) goes to reply, which must not block.
func New(cols, rows, scrollback int, reply func([]byte)) *Screen { return &Screen{} }

// Write takes what the agent printed. It never fails.
func (s *Screen) Write(p []byte) (int, error) { return len(p), nil }

// Size is the size in cells.
func (s *Screen) Size() (cols, rows int) { return 80, 24 }

// Restarted forgets everything: what follows comes from a new program.
func (s *Screen) Restarted() {}

// Resize changes the size in cells.
func (s *Screen) Resize(cols, rows int) {}

// Close ends the terminal; a later Write is dropped.
func (s *Screen) Close() {}

// Version grows whenever what would be drawn changed.
func (s *Screen) Version() uint64 { return 0 }

// Rows is the screen, scrolled back by scroll lines: as many strings as there are rows, each exactly
// as many cells wide as there are columns, styled, each ending with its styles reset.
func (s *Screen) Rows(scroll int) []string { return nil }

// Plain is the screen without styles, trailing blanks cut.
func (s *Screen) Plain() []string { return nil }

// Cursor is the cursor's cell and whether the program shows it.
func (s *Screen) Cursor() (x, y int, visible bool) { return 0, 0, false }

// Title is the window title that the program set, safe to print.
func (s *Screen) Title() string { return "" }

// ScrollbackLen is how far Rows can scroll back.
func (s *Screen) ScrollbackLen() int { return 0 }

// Encode is what a key press is to the agent's program, in the modes that it asked for; nil when nothing.
func (s *Screen) Encode(k tea.KeyPressMsg) []byte { return nil }

// EncodePaste is pasted text as the program expects it.
func (s *Screen) EncodePaste(text string) []byte { return nil }

// EncodeMouse is a mouse event, its cell relative to the screen; nil when the program did not ask for it.
func (s *Screen) EncodeMouse(m tea.MouseMsg) []byte { return nil }

// Bell sets what is called when the program rings.
func (s *Screen) Bell(ring func()) {}

// SetDirty sets what is called after a change; never under a lock of the Screen.
func (s *Screen) SetDirty(changed func()) {}
