package request

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"charm.land/bubbles/v2/textarea"
	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/themes"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// What the dialog's own commands give.
type (
	checkedMsg struct {
		check    int
		content  []byte
		findings []dockerfile.Finding
		broken   string
	}
	fileMsg struct { // the file for the editor is written
		check int
		path  string
		err   error
	}
	leftMsg struct { // the editor was left
		check int
		path  string
		err   error
	}
	readMsg struct { // what it wrote
		check   int
		content []byte
		err     error
	}
)

func trim(s string) string { return strings.TrimSpace(s) }

// area is a text area in our styles, with the terminal's own cursor.
func area(s *themes.Styles) *textarea.Model {
	a := textarea.New()
	a.Prompt = ""
	a.CharLimit = 0
	a.MaxHeight = 0
	a.SetVirtualCursor(false)
	a.KeyMap.Paste.SetEnabled(false) // the terminal pastes; the clipboard is not read
	a.KeyMap.CopySelection.SetEnabled(false)
	st := a.Styles()
	for _, one := range []*textarea.StyleState{&st.Focused, &st.Blurred} {
		one.Base, one.Text, one.CursorLine = s.Text, s.Text, s.Text
		one.LineNumber, one.CursorLineNumber = s.Faint, s.Accent
		one.EndOfBuffer, one.Placeholder, one.Prompt = s.Faint, s.Faint, s.Accent
	}
	st.Cursor.Color = nil
	a.SetStyles(st)
	return &a
}

func (d *Dialog) reasonArea() *textarea.Model {
	if d.reason == nil {
		d.reason = area(d.o.Styles)
		d.reason.ShowLineNumbers = false
		d.reason.CharLimit = 8192
		d.reason.Placeholder = "why not, and what to do instead"
	}
	return d.reason
}

// startEdit opens the file in place: the agent's, or what was edited before.
func (d *Dialog) startEdit() dialog.Result {
	if d.editor == nil {
		d.editor = area(d.o.Styles)
		d.editor.ShowLineNumbers = true
		d.load(d.toEdit())
	}
	d.mode, d.note = editing, ""
	return dialog.Result{Cmd: d.editor.Focus()}
}

// toEdit is the file that editing begins with: what was edited before, or the agent's.
func (d *Dialog) toEdit() []byte {
	if d.edited != nil {
		return d.edited
	}
	return []byte(d.req.Proposed)
}

// load puts a file into the editor. What does not print is replaced by its name, so that nothing
// hides from whoever edits.
func (d *Dialog) load(content []byte) {
	clean := shownText(content)
	d.replaced = clean != strings.TrimSuffix(string(content), "\n")
	d.editor.SetValue(clean)
	d.editor.MoveToBegin()
}

func (d *Dialog) editKey(k tea.KeyPressMsg) dialog.Result {
	d.note = ""
	if b := keys.Find(keys.Editing, k.String()); b != nil {
		switch b.Action {
		case keys.Back:
			d.mode = reading
			d.rearm()
			return dialog.Result{}
		case keys.Check:
			return d.checkEdited([]byte(d.editor.Value() + "\n"))
		case keys.Swap:
			d.swap()
			return dialog.Result{}
		}
	}
	updated, cmd := d.editor.Update(k)
	*d.editor = updated
	return dialog.Result{Cmd: cmd}
}

// checkEdited has the operator's version checked; the preview opens with the outcome.
func (d *Dialog) checkEdited(content []byte) dialog.Result {
	switch {
	case len(trim(string(content))) == 0:
		d.note = "the file is empty"
		return dialog.Result{}
	case len(content) > queue.MaxFile:
		d.note = fmt.Sprintf("the file has %d KiB; at most %d are allowed", len(content)>>10, queue.MaxFile>>10)
		return dialog.Result{}
	}
	d.mode = waiting
	d.check++
	n, current, tool := d.check, d.req.Current, d.req.Tool
	return dialog.Result{Cmd: func() tea.Msg {
		m := checkedMsg{check: n, content: content}
		m.findings, m.broken = checkContent(tool, current, content)
		return m
	}}
}

// startEditor writes the file for the operator's own editor.
func (d *Dialog) startEditor() dialog.Result {
	content := d.toEdit()
	d.mode = waiting
	d.check++
	n, name := d.check, fileName(d.req.Tool)
	return dialog.Result{Cmd: func() tea.Msg {
		path, err := writeTemp(name, content)
		return fileMsg{n, path, err}
	}}
}

// editorWords is what the shell runs as the operator's editor.
func (d *Dialog) editorWords() string {
	if d.o.Editor == "" {
		return "vi"
	}
	return d.o.Editor
}

// editorFailed says in words why an editor did not end well. A shell's exit codes 126 and 127 are of a command that it
// can't run, and that it did not find (POSIX, Shell Command Language, 2.8.2).
func (d *Dialog) editorFailed(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == 126 || exit.ExitCode() == 127) {
		return fmt.Errorf("the editor %q can't be run: set $VISUAL or $EDITOR; e edits here", d.editorWords())
	}
	return fmt.Errorf("the editor ended with an error, and nothing of it was taken: %w", err)
}

// writeTemp writes a private file, whose name ends as editors know its kind by; os.CreateTemp makes it 0600.
func writeTemp(name string, content []byte) (path string, err error) {
	f, err := os.CreateTemp("", "bottle-tui-*."+name)
	if err != nil {
		return "", fmt.Errorf("make a file for the editor: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write %s for the editor: %w", f.Name(), err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// readTemp reads what the editor left, with a bound, and removes the file.
func readTemp(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read what the editor wrote: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, queue.MaxFile+1))
	return content, errors.Join(err, f.Close(), os.Remove(path))
}

// Message takes what the dialog's own commands gave.
func (d *Dialog) Message(msg tea.Msg) dialog.Result { return d.withManifest(d.message(msg)) }

func (d *Dialog) message(msg tea.Msg) dialog.Result {
	switch m := msg.(type) {
	case manifestMsg:
		d.takeManifest(m)
	case checkedMsg:
		if m.check != d.check {
			return dialog.Result{}
		}
		d.edited, d.findings, d.broken = m.content, m.findings, m.broken
		if d.editor == nil {
			d.startEdit()
		}
		d.load(m.content)
		d.mode = preview
		d.rearm()
	case fileMsg:
		if m.check != d.check || m.err != nil {
			if m.err != nil {
				d.mode = reading
				d.rearm()
				d.note = frame.Line(m.err.Error())
				return dialog.Result{}
			}
			return dialog.Result{Cmd: func() tea.Msg { return readMsg{0, nil, os.Remove(m.path)} }}
		}
		editor := d.editorWords()
		// The editor is a shell's words, as git and others take it; the path is its last argument.
		cmd := exec.Command("/bin/sh", "-c", editor+` "$1"`, "sh", m.path)
		cmd.Stdin = os.Stdin // and not what the program reads it through
		return dialog.Result{Cmd: tea.ExecProcess(cmd, func(err error) tea.Msg { return leftMsg{m.check, m.path, err} })}
	case leftMsg:
		return dialog.Result{Cmd: func() tea.Msg {
			content, err := readTemp(m.path)
			if m.err != nil {
				err = d.editorFailed(m.err)
			}
			return readMsg{m.check, content, err}
		}}
	case readMsg:
		if m.check != d.check {
			return dialog.Result{}
		}
		d.mode = reading
		d.rearm()
		if m.err != nil {
			d.note = frame.Line(m.err.Error())
			return dialog.Result{}
		}
		if string(m.content) == d.req.Proposed && d.edited == nil {
			d.note = "nothing was changed in the editor"
			return dialog.Result{}
		}
		return d.checkEdited(m.content)
	}
	return dialog.Result{}
}
