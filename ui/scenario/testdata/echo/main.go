// Echo is a small full-screen program: it shows what it gets, so that the harness can be tested on it.
package main

import (
	"fmt"
	"os"
	"strings"

	tea "charm.land/bubbletea/v2"
)

type model struct {
	cols, rows int
	background string
	log        []string
	notice     bool
}

func (m model) Init() tea.Cmd { return tea.RequestBackgroundColor }

func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	note := func(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.cols, m.rows = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.background = msg.String()
	case tea.PasteMsg:
		note("pasted %q", msg.Content)
	case tea.MouseClickMsg:
		note("clicked %d,%d", msg.X, msg.Y)
	case tea.KeyPressMsg:
		note("key %s", msg)
		switch msg.String() {
		case "Q":
			return m, tea.Quit
		case "X":
			os.Exit(7)
		case "n":
			m.notice = !m.notice
		case "b":
			return m, tea.Raw("\a")
		}
	}
	return m, nil
}

func (m model) View() tea.View {
	var b strings.Builder
	fmt.Fprintf(&b, "\x1b[1;32mecho\x1b[m %d×%d on \x1b[4m%s\x1b[m\n", m.cols, m.rows, m.background)
	fmt.Fprintf(&b, "TERM=%s COLORTERM=%s LANG=%s NO_COLOR=%q EXTRA=%s args=%v 漢字\n",
		os.Getenv("TERM"), os.Getenv("COLORTERM"), os.Getenv("LANG"), os.Getenv("NO_COLOR"), os.Getenv("EXTRA"), os.Args[1:])
	if m.notice {
		b.WriteString("\x1b[7m a notice <&> \x1b[m\n")
	}
	for _, l := range m.log[max(len(m.log)-20, 0):] {
		b.WriteString(l + "\n")
	}
	v := tea.NewView(b.String())
	v.AltScreen, v.MouseMode, v.WindowTitle = true, tea.MouseModeCellMotion, "echo: "+fmt.Sprint(len(m.log))
	return v
}

func main() {
	if _, err := tea.NewProgram(model{}).Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("goodbye")
}
